/**
 * The exit codes of every command; `penstock --help` prints them.
 */

export const ExitCode = {
  ok: 0,
  /** It did not work: something is missing, busy, refused or failed. */
  failure: 1,
  /** The command line or a pipe's text is wrong. */
  usage: 2,
  /** A bug in Penstock; the stack is on standard error. */
  internal: 70,
  /** Ended at once by a second signal. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const EXIT_CODE_HELP = `Exit codes:
  0    it worked; a server has stopped cleanly, all that was acknowledged is flushed
  1    it did not work, or the last flush failed
  2    the command line or a pipe is wrong
  70   a bug in Penstock
  130  ended at once by a second signal`;
