/** What `penstock explain` says of one code. */

export interface CodeHelp {
  /** What has happened, in a sentence. */
  readonly means: string;
  /** What it usually comes from. */
  readonly causes: string;
  /** What to do about it. */
  readonly todo: string;
}

export type CodeList = Readonly<Record<string, CodeHelp>>;
