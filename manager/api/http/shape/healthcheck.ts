/**
 * Health as JSON: `ContainerSpec.Healthcheck` of a spec (the Engine API's HealthConfig), and what was
 * found out, in the form of a container's `State.Health`. Times and numbers that are out of range are
 * refused here, in Swarm's words, because the store cannot hold them; what a test may say is decided
 * in `manager/api/validate-health.ts`.
 */
import { SwarmError } from '../../../../lib/errors.ts'
import type { Health } from '../../../../proto/gen/objects.ts'
import { emptyHealthcheck, type Healthcheck } from '../../../../proto/gen/specs.ts'
import type { JsonObject } from './objects.ts'
import { durationMs, fieldsOf, integer, list, object, type Shape, text } from './shape.ts'

const NANOSECONDS_MIN = 1e6
const RETRIES_MAX = 2 ** 32 - 1

const of = fieldsOf<Healthcheck>()
export const healthcheck: Shape<Healthcheck> = object(emptyHealthcheck, {
  Test: of.some('test', list(text)),
  Interval: of.some('intervalMs', atLeastMillisecond('Interval')),
  Timeout: of.some('timeoutMs', atLeastMillisecond('Timeout')),
  StartPeriod: of.some('startPeriodMs', atLeastMillisecond('StartPeriod')),
  StartInterval: of.some('startIntervalMs', atLeastMillisecond('StartInterval')),
  Retries: of.some('retries', {
    ...integer,
    read: (json, path) => {
      const retries = integer.read(json, path)
      if (retries < 0) throw refusal('Retries in HealthConfig cannot be negative')
      if (retries > RETRIES_MAX) throw refusal(`Retries in HealthConfig: ${retries} is too large`)
      return retries
    },
  }),
})

/** 0 leaves it to the image. */
function atLeastMillisecond(name: string): Shape<number> {
  return {
    ...durationMs,
    read: (json, path) => {
      const nanoseconds = integer.read(json, path)
      if (nanoseconds !== 0 && nanoseconds < NANOSECONDS_MIN)
        throw refusal(`${name} in HealthConfig cannot be less than 1ms`)
      return durationMs.read(json, path)
    },
  }
}

/** As Docker shows `State.Health` of a container. */
export function healthToJson({ state, failingStreak, results }: Health): JsonObject {
  return {
    Status: state,
    FailingStreak: failingStreak,
    Log: results.map((result) => ({
      Start: new Date(result.startMs).toISOString(),
      End: new Date(result.endMs).toISOString(),
      ExitCode: result.exitCode,
      Output: result.output,
    })),
  }
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', `ContainerSpec: ${message}`)
}
