/**
 * `crypt?key=file:/etc/k&sector=4096`: see `devices/crypt.ts`. Stateless: the key is read when the
 * stage is opened, and by nobody else.
 */

import { CryptFilter } from "../../devices/crypt.ts";
import { KEY_CONTENT_BYTES_MAX, parseXtsKey } from "../../devices/crypt-key.ts";
import type { Clock } from "../../reactor/clock.ts";
import type { CallStage } from "../ast.ts";
import { formatStage } from "../formatter.ts";
import { readSecret } from "../secret-reader.ts";
import type { SecretReference } from "../secret-reference.ts";
import type { StageOptions } from "../stage-options.ts";
import type { FilterPlan, OptionHelp } from "../stage-plan.ts";

export const CRYPT_OPTIONS: readonly OptionHelp[] = [
  {
    key: "key",
    value: "file:PATH|env:NAME",
    text: "required; 64 bytes or 128 hex digits (AES-256), or 32 bytes (AES-128)",
  },
  { key: "cipher", value: "aes-xts-plain64", text: "the only one" },
  { key: "sector", value: "512|4096", text: "encrypted as one; default 512, 4096 is quicker" },
  { key: "iv-large-sectors", value: "BOOLEAN", text: "count sectors of 4096 (dm-crypt's option)" },
  { key: "skip", value: "SIZE", text: "start counting sectors from here; default 0B" },
  { key: "discard", value: "zeroes|refuse", text: "default: discarding writes encrypted zeroes" },
];

const CIPHERS = ["aes-xts-plain64"] as const;
const SECTORS = ["512", "4096"] as const;
const DISCARDS = ["zeroes", "refuse"] as const;

export function planCrypt(_text: string, stage: CallStage, options: StageOptions): FilterPlan {
  const reference = options.secret("key");
  options.oneOf("cipher", CIPHERS, { fallback: "aes-xts-plain64" });
  // Not the block size of what is below: what is stored must not depend on where it is opened.
  const sectorBytes = Number(options.oneOf("sector", SECTORS, { fallback: "512" }));
  const ivLargeSectors = options.boolean("iv-large-sectors", { fallback: false });
  if (ivLargeSectors && sectorBytes === 512) {
    throw options.refuse("iv-large-sectors", "sectors are 512 bytes, expected sector=4096 with it");
  }
  const skipBytes = options.size("skip", { fallback: 0 });
  if (skipBytes % sectorBytes !== 0) {
    throw options.refuse("skip", `${skipBytes} bytes, expected a multiple of ${sectorBytes}`);
  }
  const discard = options.oneOf("discard", DISCARDS, { fallback: "zeroes" });
  const name = formatStage(stage);
  const settings = { name, sectorBytes, ivLargeSectors, skipBytes, discard };
  return {
    fixedBecause: "crypt changes what is stored",
    open: async ({ reactor }, below) =>
      CryptFilter.open(below, {
        ...settings,
        readKey: () => readXtsKey(reference, reactor.clock),
      }),
  };
}

async function readXtsKey(reference: SecretReference, clock: Clock): Promise<Uint8Array> {
  const { content, source } = await readSecret(reference, KEY_CONTENT_BYTES_MAX, clock);
  try {
    return parseXtsKey(content, source);
  } finally {
    content.fill(0);
  }
}
