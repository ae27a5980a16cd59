/**
 * Codes of the engine: what its RPC answers and what its events tell.
 */

import type { CodeList } from "./code-help.ts";

export const ENGINE_CODES: CodeList = {
  "already-exists": {
    means: "There is one of that name already.",
    causes: "It was made before.",
    todo: "Take another name, or delete the other one.",
  },
  canceled: {
    means: "The call was given up by the client.",
    causes: "The client has ended or its time limit has passed.",
    todo: "Call again.",
  },
  "child-faulted": {
    means: "A mirror has taken a child out: the others go on, clients notice nothing.",
    causes: "It failed at a write, a flush or a read, or did not answer in time.",
    todo: "`penstock pipe graph PIPE` says why. Copy a good leg over it before it returns.",
  },
  "data-dir-in-use": {
    means: "Another engine uses that data directory.",
    causes: "It runs already, perhaps as a service.",
    todo: "Stop it, or give this one another --data-dir.",
  },
  "data-dir-invalid": {
    means: "The data directory cannot be made or used.",
    causes: "It is a file, or its parent cannot be written to.",
    todo: "Name another with --data-dir.",
  },
  "data-dir-open": {
    means: "Other users of the machine may write to the engine's data directory.",
    causes: "Its mode lets the group or others write; the engine makes it with 0700.",
    todo: "chmod 0700 DIR: who writes there can have any file opened at the next start.",
  },
  "data-loss": {
    means: "The engine says that data was lost.",
    causes: "See the message.",
    todo: "See the engine's events.",
  },
  "deadline-exceeded": {
    means: "The call has taken longer than its time limit.",
    causes: "A busy engine, a limit that is too short.",
    todo: "Ask what has become of it before you call again.",
  },
  "engine-address-invalid": {
    means: "That is no address of an engine's RPC.",
    causes: "A missing port, a socket's path longer than 107 bytes.",
    todo: "Write unix:PATH or HOST:PORT.",
  },
  "engine-connection-failed": {
    means: "The connection to the engine broke.",
    causes: "The engine was stopped or killed during the call.",
    todo: "Ask again: `penstock pipe list` tells what has been done.",
  },
  "engine-failed": {
    means: "An engine has ended by itself, and is not started again.",
    causes: "See the message; memory limits of a container end processes without a word.",
    todo: "Run it again; if it happens again, report it.",
  },
  "engine-not-started": {
    means: "The engine's process could not be started.",
    causes: "No memory, or a limit on the number of processes.",
    todo: "Raise the limit; the message has the system's own words.",
  },
  "engine-ready": {
    means: "The engine answers its clients.",
    causes: "It was started.",
    todo: "Nothing.",
  },
  "engine-restarted": {
    means: "The engine has ended without being told to, and its supervisor has started it again.",
    causes: "It was killed, has run out of memory, or has found a bug in itself.",
    todo: "Look for the reason in its log. Acknowledged data is safe, and its shares are back.",
  },
  "engine-stopping": {
    means: "The engine is being stopped.",
    causes: "SIGINT or SIGTERM.",
    todo: "Nothing: all that was acknowledged is flushed before it ends.",
  },
  "engine-unreachable": {
    means: "No engine answers at that address.",
    causes: "It does not run, or has another data directory or address.",
    todo: "Start one with `penstock engine`, or name it with --engine or PENSTOCK_ENGINE.",
  },
  "export-exists": {
    means: "An export of that name is served at that address already.",
    causes: "Two pipes with the same share.",
    todo: "Give one of them another name or port.",
  },
  "failed-precondition": {
    means: "The engine cannot do that in the state it is in.",
    causes: "See the message.",
    todo: "See the message.",
  },
  "field-invalid": {
    means: "A field of an RPC's request has a value of the wrong form.",
    causes: "A name with capital letters; a stage that is neither a label nor a place.",
    todo: "The message names the field and what is expected.",
  },
  "field-missing": {
    means: "A field of an RPC's request is empty.",
    causes: "A misspelt field, or none.",
    todo: "The message names it.",
  },
  "field-out-of-range": {
    means: "A number in an RPC's request is too small or too large.",
    causes: "A wrong unit.",
    todo: "The message names the field and the range.",
  },
  "field-too-long": {
    means: "A field of an RPC's request is too long.",
    causes: "A generated value.",
    todo: "The message names the field and the limit.",
  },
  "label-ambiguous": {
    means: "Several pipes have a stage of that label, so that a tap could mean any.",
    causes: "The same text used for several pipes.",
    todo: "Give the stages different labels.",
  },
  "label-taken": {
    means: "Another stage of the pipe has that label.",
    causes: "The filter was inserted before.",
    todo: "Take another label, or `pipe set` the one that there is.",
  },
  "last-child-failed": {
    means: "The last child of a mirror has failed: now its clients get errors.",
    causes: "All legs are lost, or what they share is.",
    todo: "Repair the one that failed last: it has all that was acknowledged.",
  },
  "leg-out-not-stored": {
    means: "A mirror's child has faulted, and the engine cannot store that it is out.",
    causes: "The disk of the data directory is full, or fails.",
    todo: "Make room there: writes to the mirror wait until it is stored, and go on by themselves.",
  },
  "legs-differ": {
    means: "A mirror cannot know that its legs hold the same after a change that has failed.",
    causes: "A change that some legs have done, and that failed as such: no space, out of range.",
    todo: "Write the range anew, or copy one leg to the others.",
  },
  log: {
    means: "A line of a `log` stage.",
    causes: "The stage is in the pipe.",
    todo: "`pipe remove` it when it is no longer needed.",
  },
  "mirror-without-metadata": {
    means: "A mirror keeps no log on its children (meta=none), and says so at the start.",
    causes: "It is the only kind in this version.",
    todo: "After an unclean stop copy one leg to the others before you trust reads of them all.",
  },
  "pipe-created": {
    means: "A pipe was made.",
    causes: "`pipe create`.",
    todo: "Nothing.",
  },
  "pipe-deleted": {
    means: "A pipe was closed and forgotten; its data stays where it is.",
    causes: "`pipe delete`.",
    todo: "Nothing.",
  },
  "pipe-exists": {
    means: "There is a pipe of that name.",
    causes: "It was made before.",
    todo: "Take another name, or `pipe delete` the other one.",
  },
  "pipe-failed": {
    means: "A pipe could not be opened.",
    causes: "The message has the code of the reason.",
    todo: "Explain that code. The engine tries again by itself where that may help.",
  },
  "pipe-not-found": {
    means: "There is no pipe of that name.",
    causes: "A spelling mistake, or another engine.",
    todo: "`penstock pipe list` shows all.",
  },
  "pipe-not-ready": {
    means: "The pipe is not open, so it cannot be changed.",
    causes: "It has failed, is being opened or is being closed.",
    todo: "`penstock pipe show NAME` says why.",
  },
  "pipe-not-saved": {
    means: "A change of a pipe holds, but could not be stored: a restart would undo it.",
    causes: "A full or failing disk below the data directory.",
    todo: "Free space; the next change of the pipe stores it again.",
  },
  "pipe-ready": {
    means: "A pipe is open: clients can connect.",
    causes: "It was made, or the engine has started.",
    todo: "Nothing.",
  },
  "pipe-resized": {
    means: "The source of a pipe, and what stands on it, is larger than before.",
    causes: "`pipe resize`.",
    todo: "Nothing. Clients over NBD see it when they connect anew.",
  },
  "replumb-busy": {
    means: "Another change of the same place of the pipe is under way.",
    causes: "Two commands at the same time.",
    todo: "Try it again.",
  },
  "replumb-timeout": {
    means: "Requests under way did not end in time: nothing was changed.",
    causes: "A slow or hanging disk below, a `delay` or `limit` that holds requests.",
    todo: "Try it again with a longer --timeout.",
  },
  "resource-exhausted": {
    means: "The engine has no room for that.",
    causes: "A message that is too large, or a limit that is reached.",
    todo: "See the message.",
  },
  "setting-invalid": {
    means: "A setting of the engine's configuration file, or of the environment, is wrong.",
    causes: "A misspelt name, a value that its option does not take.",
    todo: "The message names the place, what was found and what was expected.",
  },
  "stage-changed": {
    means: "A filter of a pipe has got other settings.",
    causes: "`pipe set`.",
    todo: "Nothing.",
  },
  "stage-fixed": {
    means: "That stage cannot come or go while the pipe runs.",
    causes: "It changes size or data (crypt, slice), or is a source.",
    todo: "Delete the pipe and create it anew with or without the stage.",
  },
  "stage-inserted": {
    means: "A filter was put into a pipe.",
    causes: "`pipe insert`.",
    todo: "Nothing.",
  },
  "stage-mismatch": {
    means: "`pipe set` names a filter of another kind than the stage is.",
    causes: "A wrong stage or a wrong filter.",
    todo: "`pipe show` lists the stages; `pipe remove` and `pipe insert` exchange kinds.",
  },
  "stage-not-found": {
    means: "The pipe has no such stage, or no pipe has the stage to tap.",
    causes: "A spelling mistake; places move when stages come and go.",
    todo: "`penstock pipe show NAME` lists labels and places.",
  },
  "stage-removed": {
    means: "A filter was taken out of a pipe.",
    causes: "`pipe remove`.",
    todo: "Nothing.",
  },
  "stage-tapped": {
    means: "Another pipe reads that stage through a tap.",
    causes: "tap:///LABEL in another pipe.",
    todo: "Delete the pipe with the tap first; the message names it.",
  },
  "stage-unchangeable": {
    means: "That filter has no settings that change while it runs.",
    causes: "crypt and slice are what their text says, for good.",
    todo: "Delete the pipe and create it anew.",
  },
  "store-damaged": {
    means: "What the engine has stored of a pipe is damaged: that pipe alone is listed as failed.",
    causes: "A disk fault, or somebody has edited the file.",
    todo: "Delete the pipe and create it anew; its data is not touched.",
  },
  "store-failed": {
    means: "The engine could not store a pipe: what was asked for has not happened.",
    causes: "A full, read-only or failing disk below the data directory.",
    todo: "Free space, then call again.",
  },
  "store-file-ignored": {
    means: "A file among the engine's stored pipes is none of its own: it is left alone.",
    causes: "Somebody has put it there, such as an editor its copy.",
    todo: "Nothing, or take it away.",
  },
  "store-newer": {
    means: "A newer Penstock has written what is stored.",
    causes: "A step back to an older version.",
    todo: "Run the newer version, or delete the pipe and create it anew.",
  },
  "too-many-pipes": {
    means: "The engine has as many pipes as it takes.",
    causes: "Pipes that nobody deletes.",
    todo: "Delete some, or run another engine.",
  },
  "too-many-watchers": {
    means: "As many clients watch the engine's events as it lets.",
    causes: "`events --follow` or monitors that were left running.",
    todo: "End some of them.",
  },
  unauthenticated: {
    means: "What stands before the engine wants to know who you are.",
    causes: "A proxy: the engine itself asks for no password.",
    todo: "Use the engine's Unix socket.",
  },
  unavailable: {
    means: "The engine cannot answer at the moment.",
    causes: "It is starting, stopping or overloaded.",
    todo: "Try it again.",
  },
  unimplemented: {
    means: "The engine does not know that call.",
    causes: "An engine of another version, or something else at that address.",
    todo: "`penstock engine show` tells the engine's version, `penstock --version` your own.",
  },
  unknown: {
    means: "What answered did not say what went wrong.",
    causes: "No engine at that address, or a proxy in between.",
    todo: "Check --engine.",
  },
};
