/**
 * How the tests run: two projects. `unit` is everything that needs no privilege and no container
 * runtime; `e2e` makes hosts out of network namespaces and runs only as root on Linux.
 */
import type { ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = {
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{lib,proto,manager,agent,node,cli,test,bench,deploy}/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
}

export default config
