/**
 * The tree that a pipe's text is parsed into: pipes of stages, calls with pipes inside.
 *
 * Plain immutable values, made by the parser and shared by everybody after it. Every name, path and
 * value is decoded: percent escapes live in the text only. Spans point into the text the tree was
 * parsed from, so whoever reports an error at a span needs that text as well.
 */

/** A half-open range of the text, in UTF-16 code units as `String` counts them. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** One `key=value`, or a flag: `key` alone. Keys are unique within their stage. */
export interface StageOption {
  /** Matches `[a-z][a-z0-9_-]*`. */
  readonly key: string;
  /** Decoded; may be empty, and is for a flag. Readers give it a type, see StageOptions. */
  readonly value: string;
  /** There is no `=`: a boolean that is true. */
  readonly isFlag?: true;
  readonly span: Span;
  readonly valueSpan: Span;
}

/** Stages joined by `|`, data's resting place first: 1 to STAGE_COUNT_MAX of them. */
export interface Pipe {
  readonly stages: readonly Stage[];
  readonly span: Span;
}

export type Stage = UriStage | CallStage;

/** `scheme://[host[:port]]/path?key=value`, or a bare path, which is a `file` without a host. */
export interface UriStage {
  readonly kind: "uri";
  /** Lower case. */
  readonly scheme: string;
  /** A host name or an IP address, IPv6 without its brackets; empty when there is none. */
  readonly host: string;
  /** 0 to 65535; 0 asks for any free port. */
  readonly port: number | undefined;
  /**
   * Empty, or starts with `/`; from a bare relative path it starts otherwise and contains a `/`
   * (only ever with scheme `file` and no host).
   */
  readonly path: string;
  /** What `#label` named this stage; unique within the whole text. */
  readonly label: string | undefined;
  readonly options: readonly StageOption[];
  readonly span: Span;
  readonly schemeSpan: Span;
  /** Host and port. */
  readonly authoritySpan: Span;
  readonly pathSpan: Span;
}

/** `name?key=value` or `name(pipe, pipe)?key=value`. */
export interface CallStage {
  readonly kind: "call";
  /** Matches `[a-z][a-z0-9-]*`. */
  readonly name: string;
  readonly label: string | undefined;
  /** Empty when the stage was written without parentheses. */
  readonly arguments: readonly Pipe[];
  readonly options: readonly StageOption[];
  readonly span: Span;
  readonly nameSpan: Span;
}
