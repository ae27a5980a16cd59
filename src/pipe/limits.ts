/**
 * The bounds of a pipe's text. All are far above what a person writes; they are there so that a
 * hostile or generated text costs bounded time, memory and stack.
 */

/** Of the whole text, in bytes of UTF-8. */
export const TEXT_BYTES_MAX = 64 * 1024;

/** How many parentheses may be open at once. */
export const NESTING_DEPTH_MAX = 16;

/** Stages of one pipe; a pipe inside parentheses counts its own. */
export const STAGE_COUNT_MAX = 64;

/** Pipes between one pair of parentheses. */
export const ARGUMENT_COUNT_MAX = 64;

/** Options of one stage. */
export const OPTION_COUNT_MAX = 64;

/** Characters of a scheme, a stage's name, a label or an option's key. */
export const NAME_LENGTH_MAX = 63;

/** Characters of a host, as in DNS. */
export const HOST_LENGTH_MAX = 253;
