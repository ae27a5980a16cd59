/**
 * Codes of the command line itself, of `npm start` and of what programs call.
 */

import type { CodeList } from "./code-help.ts";

export const COMMAND_CODES: CodeList = {
  "buffer-changed": {
    means: "A buffer of a write was transferred or resized while the write was under way.",
    causes: "The application handed its ArrayBuffer to a worker too early.",
    todo: "Wait for the promise before the buffer is used otherwise.",
  },
  "buffer-in-use": {
    means: "A buffer of the device is freed while calls use it.",
    causes: "freeBuffer() before the promises of reads and writes have settled.",
    todo: "Await them first.",
  },
  "buffer-limit-conflict": {
    means: "Devices of one process share their buffers, and these have another limit already.",
    causes: "Two calls of open() with different bufferLimitBytes.",
    todo: "Give all the same limit, or close the others first.",
  },
  "check-failed": {
    means: "`npm start` has verified what it wrote, and something was not as it must be.",
    causes: "A server that could not be reached, or wrong data: the message says which.",
    todo: "Run it again. Wrong data is a bug of Penstock or broken hardware: please report it.",
  },
  "command-failed": {
    means: "A server answered a request of `npm start` with an error.",
    causes: "A full disk, a device that is faulted or read-only.",
    todo: "See the engine's events, and free space in the data directory.",
  },
  "conflicting-option": {
    means: "Two options do not go together.",
    causes: "The message names both.",
    todo: "Leave one of them out.",
  },
  "device-closed": {
    means: "The device was closed, or is being closed.",
    causes: "A call after close() or after the end of `await using`.",
    todo: "Open it again.",
  },
  "excess-arguments": {
    means: "The command takes fewer arguments.",
    causes: "A pipe that was not quoted: the shell has made several words of it.",
    todo: "Put the pipe into single quotes: 'SOURCE | SHARE'.",
  },
  "length-too-large": {
    means: "One call asks for more bytes than a call can have.",
    causes: "A wrong length, or a whole disk in one read.",
    todo: "Read or write in several calls; the message names the limit.",
  },
  mismatch: {
    means: "A byte that was read is not the one that was written.",
    causes: "The disk, the memory, or a bug; `fault` stages make it happen on purpose.",
    todo: "Note the offset and the seed, keep the file, and report it.",
  },
  "io-error": {
    means: "Requests of a measurement failed.",
    causes: "A device that is faulted, full or gone; a `fault` stage.",
    todo: "The message shows the first of them with their status: explain that.",
  },
  "missing-argument": {
    means: "The command needs an argument more.",
    causes: "It was left out.",
    todo: "The command's --help shows the order, with examples.",
  },
  "missing-mandatory-option-value": {
    means: "The command needs an option that was not given.",
    causes: "It was left out.",
    todo: "The command's --help names it.",
  },
  "needs-yes": {
    means: "The measurement would overwrite what is there.",
    causes: "`penstock bench` with an --rw that writes.",
    todo: "Add --yes when nothing there is needed, or only read.",
  },
  "option-missing-argument": {
    means: "An option stands without its value.",
    causes: "The value was left out, or begins with a -.",
    todo: "Write --option VALUE or --option=VALUE.",
  },
  "output-failed": {
    means: "What the command tells could not be written to standard output.",
    causes: "It is a file on a full or read-only disk. A reader that has gone is no error.",
    todo: "Make room, or write it elsewhere, and run the command again.",
  },
  stopped: {
    means: "A measurement was ended by a signal before its time.",
    causes: "Ctrl-C.",
    todo: "What is printed holds for the time that it ran.",
  },
  "too-many-calls": {
    means: "More calls of one device are under way than its queue takes.",
    causes: "A loop that does not await its reads and writes.",
    todo: "Await some; a retry later works.",
  },
  "unknown-code": {
    means: "`penstock explain` knows no such code.",
    causes: "A spelling mistake, or a code of another program.",
    todo: "`penstock explain` without a code lists all.",
  },
  "unknown-command": {
    means: "There is no such command.",
    causes: "A spelling mistake, or a command of a later version.",
    todo: "Take the one that the message proposes, or see `penstock --help`.",
  },
  "verification-failed": {
    means: "Sectors were read that are not what was written there.",
    causes: "Lost, misplaced or corrupted data below; a `fault` stage makes it on purpose.",
    todo: "The message names the first sectors. Keep the device as it is and look below it.",
  },
};
