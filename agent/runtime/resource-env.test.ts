/** The variables that tell a task what it was given. */
import { expect, test } from 'vitest'
import { emptyContainerSpec } from '../../proto/gen/specs.ts'
import { task } from '../../test/build.ts'
import { withResourceEnv } from './resource-env.ts'

test('a task is told its names and numbers, by kind in capitals, after its own variables', () => {
  const container = { ...emptyContainerSpec, env: ['A=1', 'DOCKER_RESOURCE_SSD=9'] }
  const assignedGeneric = [
    { kind: 'Nvidia-gpu', name: 'uuid-1', count: 1 },
    { kind: 'SSD', name: '', count: 3 },
    { kind: 'Nvidia-gpu', name: 'uuid-2', count: 1 },
  ]

  expect(withResourceEnv(container, task({ assignedGeneric })).env).toEqual([
    'A=1',
    'DOCKER_RESOURCE_SSD=9',
    'DOCKER_RESOURCE_NVIDIA-GPU=uuid-1,uuid-2',
    'DOCKER_RESOURCE_SSD=3',
  ])
  expect(withResourceEnv(container, task())).toBe(container)
})
