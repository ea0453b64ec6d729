/**
 * The version of this build, from package.json, which a release changes and nothing else.
 */
import manifest from '../package.json' with { type: 'json' }

export const VERSION: string = manifest.version
