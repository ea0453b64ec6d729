/**
 * The Raft core as a manager runs it: its timing, its limits, and the state a new cluster begins
 * with. 50 ms a tick, a heartbeat every second one, an election after 10 to 20; PreVote, CheckQuorum
 * and ReadIndex are on, forwarding of proposals is off, for what was decided on one leader's state
 * must not be committed by another (DESIGN section 4).
 */
import { encodeSnapshotPayload } from '../proto/gen/consensus.ts'
import type { Member } from '../proto/gen/types.ts'
import type { ConsensusConfig } from './consensus-interface.ts'
import { emptyConfState, NO_BYTES, type Snapshot } from './raft/message.ts'
import { RawNode } from './raft/raw-node.ts'
import type { Storage } from './raft/storage.ts'

/** One tick of the consensus loop, in ms; what is named ticks counts in these. */
export const TICK_MS = 50
const HEARTBEAT_TICKS = 2
export const ELECTION_TICKS = 10

const MESSAGE_BYTES_MAX = 1024 * 1024
const INFLIGHT_MESSAGES_MAX = 256
/** Byte credit of main: at most this much is committed but not yet applied there. */
const COMMITTED_BYTES_MAX = 8 * 1024 * 1024
const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024

/** The core of a member whose log is in `storage` and whose state is its snapshot's. */
export function newRawNode(
  { raftId, random, snapshot, messageBytesMax, committedBytesMax }: ConsensusConfig,
  storage: Storage,
): RawNode {
  return new RawNode({
    id: raftId,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    storage,
    random,
    appliedIndex: snapshot?.index ?? 0,
    asyncStorageWrites: true,
    preVote: true,
    checkQuorum: true,
    readOnly: 'safe',
    disableProposalForwarding: true,
    stepDownOnRemoval: true,
    messageBytesMax: messageBytesMax ?? MESSAGE_BYTES_MAX,
    committedBytesMax: committedBytesMax ?? COMMITTED_BYTES_MAX,
    uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
    inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
  })
}

/** The snapshot a new cluster begins with: one voter, an empty store, index 1 of term 1. */
export function newBootstrapSnapshot(member: Member): Snapshot {
  return {
    index: 1,
    term: 1,
    confState: { ...emptyConfState, voters: [member.raftId] },
    data: encodeSnapshotPayload({ members: [member], store: NO_BYTES }),
  }
}
