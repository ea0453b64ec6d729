/**
 * `tsswarm daemon` as help alone: the launcher starts the daemon itself (`cli/tsswarm`), so that
 * neither loads the other's code. The flags are read by `node/config.ts`.
 */
import type { CommandSpec } from '../command.ts'
import { usageError } from '../usage-error.ts'

export const daemonCommand: CommandSpec = {
  name: 'daemon',
  summary: 'Run this node: an agent, and a manager if it has that role',
  args: '',
  flags: [
    { flags: '--state-dir <DIR>', help: 'Where everything is kept (default /var/lib/tsswarm)' },
    {
      flags: '--api <ADDRESS>',
      help: 'Serve the API here: unix:///PATH or tcp://HOST:PORT (default unix:///run/tsswarm/docker.sock)',
      isList: true,
    },
    { flags: '--api-tls-ca <FILE>', help: 'Certificates that clients of tcp:// must be signed by' },
    { flags: '--api-tls-cert <FILE>', help: 'Certificate of the API on tcp://' },
    { flags: '--api-tls-key <FILE>', help: 'Key of that certificate' },
    { flags: '--listen <ADDR:PORT>', help: 'For joins, agents and control (default 0.0.0.0:2377)' },
    { flags: '--raft-listen <ADDR:PORT>', help: 'For the other managers (default 0.0.0.0:7946)' },
    { flags: '--advertise-addr <ADDR>', help: 'What other nodes reach this one at' },
    { flags: '--runtime <RUNTIME>', help: 'containerd or process (default: containerd for root)' },
    { flags: '--containerd <ADDRESS>', help: 'Use this containerd instead of a private one' },
    { flags: '--images <DIR>', help: 'Import the image archives in this folder at start' },
    { flags: '--label <KEY=VALUE>', help: 'Label of this engine, for constraints', isList: true },
    {
      flags: '--node-generic-resource <KIND=VALUE>',
      help: 'What this node has beside CPUs and memory: a number, or the name of one',
      isList: true,
    },
    { flags: '--reserve-cpu <N>', help: 'Processors that tasks leave to the system' },
    { flags: '--reserve-memory <SIZE>', help: 'Memory that tasks leave to the system' },
    { flags: '--metrics <ADDR:PORT>', help: 'Serve Prometheus metrics at /metrics' },
    { flags: '--registry-mirror <URL>', help: 'Ask this mirror of Docker Hub first', isList: true },
    { flags: '--insecure-registry <HOST>', help: 'Allow this registry plain HTTP', isList: true },
    { flags: '--log-level <LEVEL>', help: 'error, warn, info, debug or trace (default info)' },
    { flags: '--config <FILE>', help: 'JSON file with these flags by their names' },
    {
      flags: '--rebuild',
      help: 'For one start: set the log of this manager aside and get it anew from the others',
    },
  ],
  examples: [
    'tsswarm daemon --images /var/lib/tsswarm/images',
    'tsswarm daemon --state-dir /tmp/a --api unix:///tmp/a.sock --listen 127.0.0.1:2377 --raft-listen 127.0.0.1:7946 --runtime process',
  ],
  run: async () => {
    throw usageError(
      'the daemon is started by the launcher: run cli/tsswarm daemon, nothing before it',
    )
  },
}
