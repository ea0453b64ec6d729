/**
 * The cluster version that this program speaks: raised with each change of what is stored that the
 * program before would not understand. What each one brought to specs stands in `spec-versions.ts`;
 * how a cluster comes to speak it is decided in `manager/versions.ts`.
 */

/** The newest version that this program writes and reads. */
export const CLUSTER_VERSION = 2
