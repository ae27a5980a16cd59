/**
 * Codes of snapshots, clones and send streams.
 */

import type { CodeList } from "./code-help.ts";

export const SNAPSHOT_CODES: CodeList = {
  "already-received": {
    means: "The snapshot that a stream carries is there already.",
    causes: "The stream was received before, and its answer was perhaps lost.",
    todo: "Nothing: it is whole. Go on with the next one.",
  },
  "base-invalid": {
    means: "A snapshot cannot be sent as what differs from itself.",
    causes: "Snapshot and base are the same one, or the base was received from it.",
    todo: "Name an earlier snapshot as the base, or none.",
  },
  "base-not-found": {
    means: "A stream goes on from a snapshot that the receiver does not have.",
    causes: "It was never received there, was deleted, or belongs to another replica there.",
    todo: "Send a base that both have, or all of the snapshot, without --base.",
  },
  "clone-created": {
    means: "A replica was made that begins as a snapshot.",
    causes: "`penstock replica clone`, or the same by RPC.",
    todo: "Nothing.",
  },
  "family-differs": {
    means: "The two have no snapshot in common, so that nothing can be compared.",
    causes: "They are of replicas that were made apart; or one has been flattened since.",
    todo: "`penstock snapshot list` tells whose snapshots there are; or send all of it.",
  },
  "not-a-clone": {
    means: "The replica stands on no snapshot of another one.",
    causes: "It was made empty, or has been promoted or flattened already.",
    todo: "`penstock replica show` tells what a clone began with.",
  },
  "not-an-ancestor": {
    means: "A replica cannot be rolled back to a snapshot that is not its own.",
    causes: "The replica that it was taken of is gone, or another one has it since a promote.",
    todo: "Clone the snapshot instead: `penstock replica clone`.",
  },
  "not-receiving": {
    means: "Nothing is being received into the replica.",
    causes: "It has come to its end, was given up, or has never begun.",
    todo: "`penstock snapshot list` tells which snapshots have come.",
  },
  "receive-diverged": {
    means: "The replica is not what the stream's base was.",
    causes: "It was written after its last snapshot was received.",
    todo: "`penstock receive --rollback` gives up what was written, or receive into a new replica.",
  },
  "receive-given-up": {
    means: "What had come of a snapshot that was being received was given up.",
    causes: "`penstock receive --abort`, or the same by RPC.",
    todo: "Nothing.",
  },
  "receive-other": {
    means: "The replica waits for the rest of another stream.",
    causes: "The receiving of another snapshot was cut, or this stream begins too late.",
    todo: "Go on with that one by its token (`--resume-token`), or give it up (`--abort`).",
  },
  "replica-promoted": {
    means: "A clone has taken over the snapshots that it stands on.",
    causes: "`penstock replica promote`, or the same by RPC.",
    todo: "Nothing.",
  },
  "replica-rolled-back": {
    means: "A replica is again what it was when a snapshot was taken.",
    causes: "`penstock snapshot rollback`, or the same by RPC.",
    todo: "Nothing.",
  },
  "snapshot-created": {
    means: "A snapshot was taken.",
    causes: "`penstock snapshot create`, or the same by RPC.",
    todo: "Nothing.",
  },
  "snapshot-deleted": {
    means: "A snapshot was deleted; its space comes back in the background.",
    causes: "`penstock snapshot delete`, or the same by RPC.",
    todo: "Nothing.",
  },
  "snapshot-exists": {
    means: "There is a snapshot of that name already, and another one than is asked for.",
    causes: "A name was used twice.",
    todo: "Take another name; `penstock receive --snapshot` names what is received.",
  },
  "snapshot-not-found": {
    means: "There is no such snapshot in the pool.",
    causes: "A wrong name, or it was deleted.",
    todo: "`penstock snapshot list` shows all.",
  },
  "snapshot-received": {
    means: "A snapshot has been received whole.",
    causes: "`penstock receive`, or `penstock send --to` from another engine.",
    todo: "Nothing.",
  },
  "stream-cut": {
    means: "A send stream ended before its end.",
    causes: "The sender stopped, or the connection between them was cut.",
    todo: "`penstock receive --resume-token` prints the token that `penstock send --resume` takes.",
  },
  "stream-damaged": {
    means: "What was given to receive is no send stream, or not as it was sent.",
    causes: "A damaged file or transport, or something else than a stream.",
    todo: "Nothing of it is visible. What came before the damage is kept: send the rest by token.",
  },
  "stream-newer": {
    means: "A send stream was made by a newer Penstock, which uses what this one does not know.",
    causes: "The sender's version is higher.",
    todo: "Upgrade the engine that receives first.",
  },
  "token-invalid": {
    means: "The token of a receiving is none, or does not fit what is to be sent.",
    causes: "It was cut when it was copied, or is of another snapshot.",
    todo: "Ask the receiver again: `penstock receive POOL REPLICA --resume-token`.",
  },
  "too-many-sessions": {
    means: "Too many sends, receives and comparisons run at once.",
    causes: "Clients that begin them without reading what they get.",
    todo: "Wait until some have ended.",
  },
  "volume-receiving": {
    means: "The replica is being received: nobody else can use it before its end.",
    causes: "A stream is on its way, or was cut and waits for its rest.",
    todo: "Go on by its token (`penstock receive --resume-token`), or give it up (`--abort`).",
  },
};
