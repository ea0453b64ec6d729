/**
 * What the test of a health check may be. Docker takes any list and looks at it in the container,
 * where one that it cannot make sense of counts as no check at all; here it is refused.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { Healthcheck } from '../../proto/gen/specs.ts'

const FIELD = 'ContainerSpec.Healthcheck.Test'

/** Throws SwarmError `invalid-argument` that names the field. */
export function checkHealthcheck({ test }: Healthcheck): void {
  const [kind, ...words] = test
  if (test.some((text) => text.includes('\0'))) throw refusal('a test holds no zero byte')
  switch (kind) {
    case undefined:
      return
    case 'NONE':
      if (words.length > 0) throw refusal('NONE stands alone')
      return
    case 'CMD':
    case 'CMD-SHELL':
      if (words[0] === undefined || words[0] === '')
        throw refusal(`${kind} must be followed by what is to be run`)
      return
    default:
      throw refusal(`"${kind}" is no kind of test, use one of NONE, CMD, CMD-SHELL`)
  }
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', `${FIELD}: ${message}`)
}
