/** `tsswarm config|secret inspect --pretty`; what a config holds is shown, a secret never is. */
import { type Json, labelsAt, textAt } from '../json.ts'
import { formatLines, labelLines } from './lines.ts'

export function formatSecret(object: Json): string {
  const data = textAt(object, 'Spec', 'Data')
  const head = formatLines([
    ['ID', textAt(object, 'ID')],
    ['Name', textAt(object, 'Spec', 'Name')],
    ['Labels', labelLines(labelsAt(object, 'Spec', 'Labels'))],
    ['Created at', textAt(object, 'CreatedAt')],
    ['Updated at', textAt(object, 'UpdatedAt')],
  ])
  return data === '' ? head : `${head}\nData:\n${Buffer.from(data, 'base64').toString('utf8')}`
}
