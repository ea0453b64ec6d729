/** Go templates: what `docker … --format` users write, and what is refused. */
import { describe, expect, test } from 'vitest'
import type { Json } from '../json.ts'
import { compileTemplate } from './template.ts'

const SERVICE: Json = {
  ID: 'abc',
  Spec: { Name: 'web', Labels: { tier: 'front', app: 'shop' }, Count: 3, Flag: true },
  Ports: [{ Port: 80 }, { Port: 443 }],
  Nothing: null,
}

function render(source: string, value: Json = SERVICE): string {
  return compileTemplate(source, { isStrict: false })(value)
}

describe('template', () => {
  test.each([
    ['plain text', 'plain text'],
    ['{{.ID}}: {{.Spec.Name}}', 'abc: web'],
    ['{{ .ID }}{{/* a remark */}}!', 'abc!'],
    ['{{json .Spec.Labels}}', '{"tier":"front","app":"shop"}'],
    ['{{.Spec.Labels}}', 'map[app:shop tier:front]'],
    ['{{.Ports}}', '[map[Port:80] map[Port:443]]'],
    [
      '{{.Spec.Count}} {{.Spec.Flag}} {{.Nothing}} {{.Missing.Too}}',
      '3 true <no value> <no value>',
    ],
    ['{{index .Spec.Labels "tier"}}', 'front'],
    ['{{(index .Ports 1).Port}}', '443'],
    ['{{upper .Spec.Name}} {{title "a b"}} {{lower "ABC"}}', 'WEB A B abc'],
    ['{{.Spec.Name | upper | printf "%s-%05s|%-5s|"}}', 'WEB-<no value>|<no value>|'],
    ['{{printf "%q %d %v %%" .ID .Spec.Count true}}', '"abc" 3 true %'],
    ['{{join (split "a,b,c" ",") "+"}}', 'a+b+c'],
    ['{{pad .ID 1 2}}|{{truncate "abcdef" 3}}', ' abc  |abc'],
    ['{{len .Ports}} {{len "abc"}}', '2 3'],
    ['{{range .Ports}}{{.Port}};{{end}}', '80;443;'],
    ['{{range $k, $v := .Spec.Labels}}{{$k}}={{$v}} {{end}}', 'app=shop tier=front '],
    ['{{range $i, $p := .Ports}}{{$i}}:{{$p.Port}} {{end}}', '0:80 1:443 '],
    ['{{range .Nothing}}x{{else}}none{{end}}', 'none'],
    ['{{if .Spec.Flag}}yes{{else}}no{{end}}', 'yes'],
    ['{{if eq .ID "x"}}1{{else if eq .ID "abc"}}2{{else}}3{{end}}', '2'],
    ['{{with .Spec}}{{.Name}} of {{$.ID}}{{end}}', 'web of abc'],
    ['{{$name := .Spec.Name}}{{$name}}-{{$name}}', 'web-web'],
    ['{{and .ID .Missing}}|{{or .Missing .ID}}|{{not .Flag}}', '<no value>|abc|true'],
    ['{{ne .ID "x"}} {{lt 1 2}} {{ge 1 2}} {{gt "b" "a"}} {{le 2 2}}', 'true true false true true'],
    ['a  {{- .ID -}}  b', 'aabcb'],
    ['{{println .ID}}{{"}}"}}', 'abc\n}}'],
    ['{{`raw "text"`}} {{"\\t|"}}', 'raw "text" \t|'],
  ])('%s', (source, text) => {
    expect(render(source)).toBe(text)
  })

  test.each([
    '{{.ID',
    '{{end}}',
    '{{if .ID}}x',
    '{{nothing .ID}}',
    '{{range .Ports}}{{nothing .}}{{end}}',
    '{{.ID | }}',
    '{{(.ID}}',
    '{{.ID)}}',
    '{{}}',
    '{{#}}',
  ])('refuses %s', (source) => {
    expect(() => render(source)).toThrow(/^template parsing error: /)
  })

  test('a strict template names the fields there are', () => {
    const template = compileTemplate('{{.Nmae}}', { isStrict: true })

    expect(() => template({ ID: 'a', Name: 'b' })).toThrow(
      'template parsing error: there is no field ".Nmae", use one of .ID .Name',
    )
  })

  test('a row may have methods', () => {
    const template = compileTemplate('{{.Label "tier"}}', { isStrict: true })

    expect(template({ Label: (key) => `<${String(key)}>` })).toBe('<tier>')
  })
})
