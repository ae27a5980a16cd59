/**
 * Codes of snapshots, clones and send streams.
 */

import type { CodeList } from "./code-help.ts";

export const SNAPSHOT_CODES: CodeList = {
  "stream-cut": {
    means: "A send stream ended before its end.",
    causes: "The sender stopped, or the connection between them was cut.",
    todo: "`penstock receive POOL VOLUME --token` prints the token that `penstock send --resume` takes.",
  },
  "stream-damaged": {
    means: "What was given to receive is no send stream, or not as it was sent.",
    causes:
      "A damaged file or transport; bytes before or after the stream; something else entirely.",
    todo: "Nothing of it is visible. Send it again; what was received before the damage can be kept.",
  },
  "stream-newer": {
    means: "A send stream was made by a newer Penstock, which uses what this one does not know.",
    causes: "The sender's version is higher.",
    todo: "Upgrade the engine that receives first.",
  },
};
