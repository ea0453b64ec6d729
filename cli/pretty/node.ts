/** `tsswarm node inspect --pretty`: a node in words, in the order of Docker's. */
import { flagAt, type Json, labelsAt, listAt, numberAt, textAt } from '../json.ts'
import { capitalize } from '../task-table.ts'
import { formatBytes } from '../text/units.ts'
import { formatLines, labelLines } from './lines.ts'

export function formatNode(node: Json): string {
  const addr = textAt(node, 'ManagerStatus', 'Addr')
  return formatLines([
    ['ID', textAt(node, 'ID')],
    ['Name', textAt(node, 'Spec', 'Name')],
    ['Labels', labelLines(labelsAt(node, 'Spec', 'Labels'))],
    ['Hostname', textAt(node, 'Description', 'Hostname')],
    ['Joined at', textAt(node, 'CreatedAt')],
    [
      'Status',
      [
        ['State', capitalize(textAt(node, 'Status', 'State'))],
        ['Message', textAt(node, 'Status', 'Message')],
        ['Availability', capitalize(textAt(node, 'Spec', 'Availability'))],
        ['Address', textAt(node, 'Status', 'Addr')],
      ],
    ],
    [
      'Manager Status',
      addr === ''
        ? ''
        : [
            ['Address', addr],
            ['Raft Status', capitalize(textAt(node, 'ManagerStatus', 'Reachability'))],
            ['Leader', flagAt(node, 'ManagerStatus', 'Leader') ? 'Yes' : 'No'],
          ],
    ],
    [
      'Platform',
      [
        ['Operating System', textAt(node, 'Description', 'Platform', 'OS')],
        ['Architecture', textAt(node, 'Description', 'Platform', 'Architecture')],
      ],
    ],
    [
      'Resources',
      [
        ['CPUs', String(numberAt(node, 'Description', 'Resources', 'NanoCPUs') / 1e9)],
        ['Memory', formatBytes(numberAt(node, 'Description', 'Resources', 'MemoryBytes'))],
      ],
    ],
    [
      'Plugins',
      listAt(node, 'Description', 'Engine', 'Plugins').map((plugin) => [
        textAt(plugin, 'Type'),
        textAt(plugin, 'Name'),
      ]),
    ],
    ['Engine Version', textAt(node, 'Description', 'Engine', 'EngineVersion')],
    ['Engine Labels', labelLines(labelsAt(node, 'Description', 'Engine', 'Labels'))],
    [
      'TLS Info',
      [
        ['Issuer Subject', textAt(node, 'Description', 'TLSInfo', 'CertIssuerSubject')],
        ['Issuer Public Key', textAt(node, 'Description', 'TLSInfo', 'CertIssuerPublicKey')],
      ],
    ],
  ])
}
