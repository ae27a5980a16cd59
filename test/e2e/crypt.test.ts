// `crypt` in `penstock pipe run`: it serves, and its key is seen nowhere but in its file.

import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { REPOSITORY_ROOT, startPenstock } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const PENSTOCK = join(REPOSITORY_ROOT, "bin", "penstock");
/** So much of a key is never there by chance. */
const SHOWN_LENGTH = 8;

/** Asserts that no part of `secret` stands in `text`. */
function shownNowhere(secret: string, text: string): void {
  for (let at = 0; at + SHOWN_LENGTH <= secret.length; at++) {
    const part = secret.slice(at, at + SHOWN_LENGTH);
    ok(!text.includes(part), `a part of the key is shown:\n${text}`);
  }
}

function randomText(prng: Prng, alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[prng.below(alphabet.length)]).join("");
}

forEachLevel("crypt serves what only its key reads, and shows it nowhere", {}, async (t, level) => {
  const prng = new Prng(testSeed(t));
  const folder = makeTempDir(t);
  const key = randomText(prng, "0123456789abcdef", 128);
  const keyPath = join(folder, "disk.key");
  const image = join(folder, "disk.img");
  writeFileSync(keyPath, `${key}\n`);
  const text = (reference: string): string =>
    `${image}?size=1MiB | crypt?key=${reference}&sector=4096 | nbd://127.0.0.1:0/vol`;
  const data = Buffer.alloc(16_384, "what is written ");

  const server = await startPenstock(t, text(`file:${keyPath}`), { level });
  const client = await NbdRawClient.open(server.uri);
  await client.write(8192, data);
  ok(data.equals(await client.read(8192, data.length)));
  await client.disconnect();
  const process = `/proc/${server.pid}`;
  const commandLine = readFileSync(`${process}/cmdline`, "latin1");
  match(commandLine, /crypt\?key=file:/);
  shownNowhere(key, commandLine + readFileSync(`${process}/environ`, "latin1"));
  deepStrictEqual(await server.stop(), { code: 0, signal: null });
  shownNowhere(key, server.stderr);
  ok(!readFileSync(image).includes(data.subarray(0, 16)), "the file holds no plain text");

  // The same key by a variable, which names it without showing it either.
  const environment = { DISK_KEY: key };
  const again = await startPenstock(t, text("env:DISK_KEY"), { level, environment });
  const reader = await NbdRawClient.open(again.uri);
  ok(data.equals(await reader.read(8192, data.length)));
  await reader.disconnect();
  shownNowhere(key, readFileSync(`/proc/${again.pid}/cmdline`, "latin1"));
  deepStrictEqual(await again.stop(), { code: 0, signal: null });
  shownNowhere(key, again.stderr);
});

test("a key that cannot be used is refused by its length, without its content", async (t) => {
  const prng = new Prng(testSeed(t));
  const folder = makeTempDir(t);
  const path = join(folder, "disk.key");
  const cases: readonly (readonly [content: string, words: RegExp])[] = [
    [randomText(prng, "ghijklmnopqrstuvwxyz", 63), /disk\.key has 63 bytes, expected 64/],
    [randomText(prng, "0123456789abcdef", 64), /disk\.key has 64 hex digits, expected 128/],
    [randomText(prng, "ghijklmnopqrstuvwxyz", 9000), /disk\.key has more than 160 bytes/],
    [randomText(prng, "ghijklmnopqrstuvwxyz", 32).repeat(2), /disk\.key has two equal halves/],
  ];
  for (const [content, words] of cases) {
    writeFileSync(path, content);
    const pipe = `malloc:///x?size=1MiB | crypt?key=file:${path} | nbd://127.0.0.1:0/vol`;
    const result = await runCommand(PENSTOCK, ["pipe", "run", pipe], { exitCode: "any" });
    notStrictEqual(result.exitCode, 0);
    match(result.stderr, words);
    shownNowhere(content, result.stdout + result.stderr);
  }
  const literal = randomText(prng, "0123456789abcdef", 128);
  const pipe = `malloc:///x?size=1MiB | crypt?key=${literal} | nbd://127.0.0.1:0/vol`;
  const result = await runCommand(PENSTOCK, ["pipe", "run", pipe], { exitCode: "any" });
  match(result.stderr, /a secret itself never stands in a pipe/);
  shownNowhere(literal, result.stdout + result.stderr);
  strictEqual(result.stdout, "");
});
