/**
 * The `host[:port]` of a URI: parsed with the position of what is wrong, and written back.
 *
 * Pure. Nothing is resolved here: a host name is only checked for its shape.
 */

import { isIPv4, isIPv6 } from "node:net";
import type { Span } from "./ast.ts";
import { percentDecode } from "./characters.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { HOST_LENGTH_MAX } from "./limits.ts";

interface Authority {
  /** Empty when there is none; IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

const PORT_MAX = 65535;

/**
 * Parses `span` of `text`; an empty span has no host and no port. Throws a GrammarError with code
 * `bad-host`, `bad-port` or `bad-escape`.
 */
export function parseAuthority(text: string, span: Span): Authority {
  const raw = text.slice(span.offset, span.offset + span.length);
  if (raw === "") {
    return { host: "", port: undefined };
  }
  refuseCredentials(text, span, raw);
  const hostLength = raw.startsWith("[") ? raw.indexOf("]") + 1 : colonOrEnd(raw);
  const host = raw.startsWith("[")
    ? parseBracketedHost(text, { offset: span.offset, length: hostLength })
    : parsePlainHost(text, span, hostLength);
  const rest = { offset: span.offset + hostLength, length: span.length - hostLength };
  return { host, port: parsePort(text, rest) };
}

/** Writes `authority` so that {@link parseAuthority} reads it back. */
export function formatAuthority(authority: Authority): string {
  const { host, port } = authority;
  const shownHost = host.includes(":") ? `[${host.replaceAll("%", "%25")}]` : host;
  return port === undefined ? shownHost : `${shownHost}:${port}`;
}

function refuseCredentials(text: string, span: Span, raw: string): void {
  const length = raw.lastIndexOf("@");
  if (length < 0) {
    return;
  }
  throw new GrammarError({
    code: "bad-host",
    text,
    span: { offset: span.offset, length: length + 1 },
    message:
      'found credentials before "@", expected a host: ' +
      "secrets are given by reference, as an option such as chap=file:PATH",
    secretSpan: { offset: span.offset, length },
  });
}

function colonOrEnd(raw: string): number {
  const colon = raw.indexOf(":");
  return colon < 0 ? raw.length : colon;
}

/** `span` covers the brackets; it is empty when the closing one is missing. */
function parseBracketedHost(text: string, span: Span): string {
  if (span.length === 0) {
    throw badHost(text, { offset: span.offset, length: 1 }, 'found "[" without "]"');
  }
  // A zone is written fe80::1%25eth0, as in RFC 6874.
  const host = percentDecode(text, { offset: span.offset + 1, length: span.length - 2 });
  if (!isIPv6(host)) {
    const found = quote(text.slice(span.offset, span.offset + span.length));
    throw badHost(text, span, `found ${found}, which is not an IPv6 address in brackets`);
  }
  return host;
}

function parsePlainHost(text: string, authority: Span, length: number): string {
  const span = { offset: authority.offset, length };
  const host = text.slice(span.offset, span.offset + length);
  const all = text.slice(authority.offset, authority.offset + authority.length);
  if (all.indexOf(":") !== all.lastIndexOf(":")) {
    throw badHost(text, authority, `found ${quote(all)} with several ":"`);
  }
  if (host === "") {
    throw badHost(text, span, `found ":" and no host before it`);
  }
  if (host.length > HOST_LENGTH_MAX) {
    throw badHost(text, span, `found ${host.length} characters, more than ${HOST_LENGTH_MAX}`);
  }
  const labels = host.split(".");
  const isNumeric = /^\d+$/.test(labels.at(-1) ?? "");
  if (isNumeric ? !isIPv4(host) : !labels.every(isHostLabel)) {
    throw badHost(text, span, `found ${quote(host)}`);
  }
  return host;
}

/** Letters, digits, hyphens inside; underscores too, because container names have them. */
function isHostLabel(label: string): boolean {
  return /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label);
}

function parsePort(text: string, span: Span): number | undefined {
  if (span.length === 0) {
    return undefined;
  }
  const raw = text.slice(span.offset, span.offset + span.length);
  const digits = { offset: span.offset + 1, length: span.length - 1 };
  const fault = { code: "bad-port", text, span: digits };
  if (!raw.startsWith(":")) {
    const message = `found ${quote(raw)} after the host, expected ":" and a port, or "/"`;
    throw new GrammarError({ ...fault, span, message });
  }
  if (!/^:\d+$/.test(raw)) {
    const found = digits.length === 0 ? "nothing" : quote(raw.slice(1));
    const message = `found ${found} after ":", expected a port from 0 to ${PORT_MAX}`;
    throw new GrammarError({ ...fault, message });
  }
  const port = Number(raw.slice(1));
  if (port > PORT_MAX) {
    const message = `found port ${quote(raw.slice(1))}, expected at most ${PORT_MAX}`;
    throw new GrammarError({ ...fault, message });
  }
  return port;
}

function badHost(text: string, span: Span, found: string): GrammarError {
  return new GrammarError({
    code: "bad-host",
    text,
    span,
    message: `${found}, expected a host name, an IPv4 address or an IPv6 address in brackets`,
  });
}
