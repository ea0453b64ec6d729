/**
 * What an image says about health checks, kept in a container's record: the image may be gone, or
 * mean something else, while the container runs. The shell stands beside the check because a check
 * that the service brings may be a line for it.
 */
import type { Container as ContainerRecord } from '../../../proto/gen/containerd/containers.ts'
import { type Any, emptyAny } from '../../../proto/gen/google/protobuf/any.ts'
import {
  decodeHealthcheck,
  emptyHealthcheck,
  encodeHealthcheck,
  type Healthcheck,
} from '../../../proto/gen/specs.ts'
import { parseJsonObject, stringAt, stringsAt } from './image/json.ts'
import type { ImageConfig } from './image/manifest.ts'

export const IMAGE_CHECK_EXTENSION = 'io.tsswarm.image-check'

const SHELL_DEFAULT = ['/bin/sh', '-c']

/** The extension of the record. */
export function formatImageCheck({ shell, healthcheck }: ImageConfig): Any {
  const check = Buffer.from(encodeHealthcheck(healthcheck ?? emptyHealthcheck)).toString('base64')
  const value = new TextEncoder().encode(JSON.stringify({ shell, check }))
  return { ...emptyAny, typeUrl: IMAGE_CHECK_EXTENSION, value }
}

/** As `formatImageCheck` wrote it; nothing where the record is from before there were health checks. */
export function parseImageCheck(record: ContainerRecord): {
  readonly shell: readonly string[]
  readonly imageCheck: Healthcheck
} {
  const extension = record.extensions.get(IMAGE_CHECK_EXTENSION)
  if (extension === undefined) return { shell: SHELL_DEFAULT, imageCheck: emptyHealthcheck }
  const json = parseJsonObject(extension.value, 'the extension of a health check')
  const shell = stringsAt(json, 'shell')
  return {
    shell: shell.length === 0 ? SHELL_DEFAULT : shell,
    imageCheck: decodeHealthcheck(Buffer.from(stringAt(json, 'check'), 'base64')),
  }
}
