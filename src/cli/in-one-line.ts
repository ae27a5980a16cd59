/** Words of others (hosts, servers, files) as part of one line of ours. Pure. */

/** Neither further lines nor orders to the terminal. */
export function inOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ");
}
