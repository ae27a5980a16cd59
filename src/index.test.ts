// Tests of the package's door at every level: I/O, errors, many devices, closing, exit.

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  rejects,
  strictEqual,
  throws,
} from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { open, type PenstockDevice, type Level } from "./index.ts";
import { TEST_LEVELS } from "./reactor/test-reactor.ts";
import { NbdRawClient } from "./testing/nbd-raw-client.ts";
import { REPOSITORY_ROOT } from "./testing/penstock-process.ts";
import { runCommand } from "./testing/run-command.ts";
import { makeTempDir } from "./testing/temp-dir.ts";
import { Prng } from "./util/prng.ts";

const MIB = 2 ** 20;
const LEVELS = TEST_LEVELS.filter((level) => level !== "fake") as Level[];
const INDEX = join(REPOSITORY_ROOT, "src/index.ts");

function noise(length: number, seed = "noise"): Uint8Array {
  const bytes = new Uint8Array(length);
  new Prng(seed).fill(bytes);
  return bytes;
}

function forEachLevel(title: string, body: (t: TestContext, level: Level) => Promise<void>): void {
  for (const level of LEVELS) {
    test(`${title}, at ${level}`, { timeout: 60_000 }, (t) => body(t, level));
  }
}

function fileText(t: TestContext, options = "size=8MiB"): string {
  return `file://${join(makeTempDir(t), "disk.img")}?${options}`;
}

/** Runs a program of its own that has `open` and `level`. */
function runProgram(level: Level, body: string, exitCode = 0): Promise<{ stdout: string }> {
  const program = `
    import { open } from ${JSON.stringify(INDEX)};
    const level = ${JSON.stringify(level)};
    ${body}`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript"];
  return runCommand(process.execPath, [...flags, "--eval", program], { exitCode });
}

forEachLevel("open gives a device that reads what was written", async (t, level) => {
  const text = fileText(t);
  await using device = await open(text, { level });
  strictEqual(device.size, 8 * MIB);
  strictEqual(device.blockSize, 512);
  strictEqual(device.info.level, level);
  strictEqual(device.info.levelReason === "", level === "uring");
  match(device.info.text, /^file:\/\/\/.*disk\.img\?size=8MiB$/);
  const data = noise(3 * MIB);
  await device.writeAt(data, 4096);
  const target = new Uint8Array(data.length);
  strictEqual(await device.readAt(target, 4096), target);
  strictEqual(Buffer.compare(target, data), 0);
  deepStrictEqual(await device.readAt(512, 4096), data.slice(0, 512));
  await device.flush();
  await device.writeAt(data.subarray(0, 512), 0, { fua: true });
  await device.discard(4096, MIB);
  await device.writeZeroes(4096 + MIB, MIB, { fua: true });
  ok((await device.readAt(2 * MIB, 4096)).every((byte) => byte === 0));
  const status = await device.blockStatus(0, device.size);
  strictEqual(status.at(-1)?.offset, device.size - (status.at(-1)?.length ?? 0));
  deepStrictEqual(status[0]?.hole, false);
  await device.close();
  const path = new URL(text).pathname;
  deepStrictEqual(new Uint8Array(readFileSync(path).subarray(0, 512)), data.slice(0, 512));
});

forEachLevel("aligned buffers carry I/O and are given back", async (t, level) => {
  await using device = await open(fileText(t), { level });
  const data = noise(1.5 * MIB);
  const buffer = device.allocate(data.length);
  strictEqual(buffer.length, data.length);
  buffer.set(data);
  const write = device.writeAt(buffer, 4096);
  throws(() => buffer[Symbol.dispose](), { code: "buffer-in-use", message: /1 calls/ });
  await write;
  buffer.fill(0);
  // A view at a page, and one that is not.
  for (const start of [8192, 100]) {
    const view = buffer.subarray(start, start + 1024);
    strictEqual(await device.readAt(view, 4096), view);
    deepStrictEqual(new Uint8Array(view), data.slice(0, 1024));
  }
  throws(() => structuredClone(buffer, { transfer: [buffer.buffer as ArrayBuffer] }));
  await device.readAt(buffer, 4096);
  strictEqual(Buffer.compare(buffer, data), 0);
  buffer[Symbol.dispose]();
  buffer[Symbol.dispose]();
  throws(() => device.allocate(0), { code: "invalid-argument" });
  throws(() => device.allocate(2 ** 31), { code: "length-too-large", message: /2147483648/ });
  const [first, second] = [device.allocate(512 * MIB), device.allocate(512 * MIB)];
  throws(() => device.allocate(1), { code: "out-of-memory", message: /of 1073741824 are taken/ });
  first[Symbol.dispose]();
  device.allocate(1);
  await device.close();
  throws(() => device.allocate(4096), { code: "device-closed" });
  ok(second.length > 0);
  // What was not disposed of went with the device: there is room again.
  await using next = await open("null:///n?size=1MiB", { level });
  next.allocate(1024 * MIB)[Symbol.dispose]();
  await next.close();
});

forEachLevel("bad arguments are refused with the value and the limit", async (t, level) => {
  const text = fileText(t, "size=1MiB&blocksize=4096");
  await using device = await open(text, { level });
  await device.writeAt(noise(4096), 0);
  const block = new Uint8Array(4096);
  const gone = new Uint8Array(4096);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  const cases: readonly (readonly [call: () => Promise<unknown>, code: string, words: RegExp])[] = [
    [() => device.readAt(block, 100), "misaligned", /offset 100, expected a multiple of 4096/],
    [() => device.readAt(512, 0), "misaligned", /length 512, expected a multiple of 4096/],
    [() => device.writeAt(block, MIB), "out-of-range", /4096 bytes at offset 1048576.*1048576/],
    [() => device.readAt(block, 2 ** 53 - 4096), "out-of-range", /./],
    [() => device.readAt(block, -4096), "invalid-argument", /-4096 as offset/],
    [() => device.readAt(block, 0.5), "invalid-argument", /0\.5 as offset/],
    [() => device.readAt(block, 2 ** 60), "invalid-argument", /as offset.*to 9007199254740991/],
    [() => device.readAt(0, 0), "invalid-argument", /0 as length/],
    [() => device.readAt(2 ** 31, 0), "length-too-large", /2147483648.*1073741824/],
    [() => device.readAt("x" as unknown as number, 0), "invalid-argument", /text "x" as target/],
    [() => device.readAt(block, "0" as unknown as number), "invalid-argument", /as offset/],
    [
      () => device.writeAt([1] as unknown as Uint8Array, 0),
      "invalid-argument",
      /an? Array as data/,
    ],
    [() => device.writeAt(gone, 0), "invalid-argument", /0 bytes.*detached/],
    [() => device.discard(0, 100), "misaligned", /length 100/],
    [() => device.writeZeroes(0, 2 * MIB), "out-of-range", /2097152 bytes/],
    [() => device.blockStatus(MIB, 4096), "out-of-range", /./],
    [() => device.insert("nosuch"), "unknown-stage", /nosuch/],
    [() => device.remove("7"), "stage-not-found", /"7"/],
    [() => device.share("file:///x"), "source-as-share", /file/],
    [() => device.share("nbd://h/a | nbd://h/b"), "not-one-stage", /2 stages/],
    [() => open(text, { level }), "claimed", /in use by the program with pid \d+/],
    [() => open(text, { level, bufferLimitBytes: 5 }), "invalid-argument", /5, expected.*1MiB/],
    [() => open("null:///n?size=1MiB | nbd://h/x"), "unexpected-share", /device\.share\("nbd:/],
    [() => open("null:///n?size=1MiB | nosuch"), "unknown-stage", /nosuch/],
    [() => open("/no/such/file", { level }), "not-found", /no\/such/],
    [() => open(7 as unknown as string), "invalid-argument", /7 as the pipe/],
    [() => open("null:///n?size=1MiB", { level: "fast" as Level }), "invalid-argument", /fast/],
    [
      () => open("null:///n?size=1MiB", { level, bufferLimitBytes: 8 * MIB }),
      "buffer-limit-conflict",
      /8388608, expected 67108864/,
    ],
  ];
  for (const [call, code, message] of cases) {
    await rejects(call, { code, message }, `${code}: ${message}`);
  }
  deepStrictEqual(await device.readAt(4096, 0), noise(4096));
  await device.close();
  // Nothing of the refused ones is left: the file opens again, and with any limit.
  await using again = await open(text, { level, bufferLimitBytes: 8 * MIB });
  await again.close();
});

forEachLevel("two devices are used at once, and closing one leaves the other", async (t, level) => {
  await using one = await open(fileText(t), { level });
  await using two = await open("malloc:///m?size=8MiB", { level });
  const data = noise(MIB);
  await Promise.all([one.writeAt(data, 0), two.writeAt(data, MIB)]);
  await one.close();
  deepStrictEqual(await two.readAt(MIB, MIB), data);
  await rejects(one.readAt(512, 0), { code: "device-closed", message: /disk\.img/ });
  await two.close();
  await two.close();
});

forEachLevel("close lets calls under way end, and refuses later ones", async (t, level) => {
  const text = fileText(t);
  await using device = await open(text, { level, bufferLimitBytes: MIB });
  const data = noise(64 * 1024);
  const writes = Array.from({ length: 100 }, (_, index) =>
    device.writeAt(data, (index * data.length) % (4 * MIB)),
  );
  const closing = device.close();
  await rejects(device.writeAt(data, 0), { code: "device-closed" });
  await closing;
  const results = await Promise.allSettled(writes);
  ok(results.every(({ status }) => status === "fulfilled"));
  const stored = readFileSync(new URL(text).pathname).subarray(0, 4 * MIB);
  for (let at = 0; at < stored.length; at += data.length) {
    strictEqual(Buffer.compare(stored.subarray(at, at + data.length), data), 0);
  }
});

forEachLevel("close does not wait for what stages hold back", async (_t, level) => {
  await using device = await open("malloc:///m?size=1MiB | delay?time=1h", { level });
  await device.insert("limit?iops=1&burst=1s");
  const reads = Array.from({ length: 50 }, () => device.readAt(512, 0));
  const settled = Promise.allSettled(reads);
  await device.close();
  ok((await settled).every(({ status }) => status === "fulfilled"));
});

forEachLevel("stages are put in, changed and taken out while reads run", async (_t, level) => {
  await using device = await open("malloc:///m?size=8MiB", { level });
  await device.writeAt(noise(4096), 0);
  let reading = true;
  const reader = (async () => {
    let count = 0;
    while (reading) {
      deepStrictEqual(await device.readAt(4096, 0), noise(4096));
      count++;
    }
    return count;
  })();
  const after = await device.insert("limit#gold?iops=100000");
  match(after.text, /^malloc:.* \| limit#gold\?iops=100000$/);
  deepStrictEqual(
    after.stages.map(({ id }) => id),
    ["1", "gold"],
  );
  await device.change("gold", "limit?iops=200000");
  match((await device.describe()).text, /iops=200000/);
  strictEqual((await device.remove("gold")).stages.length, 1);
  await rejects(device.remove("1"), { code: "stage-fixed", message: /source/ });
  reading = false;
  ok((await reader) > 0);
});

forEachLevel("a device is shared to others, several on one port", async (_t, level) => {
  await using one = await open("malloc:///one?size=1MiB", { level });
  await using two = await open("malloc:///two?size=1MiB", { level });
  const share = await one.share("nbd://127.0.0.1:0/one");
  const port = new URL(share.uri).port;
  const other = await two.share(`nbd://127.0.0.1:${port}/two`);
  strictEqual(other.uri, `nbd://127.0.0.1:${port}/two`);
  await rejects(two.share(`nbd://127.0.0.1:${port}/one`), { code: "export-exists" });
  await rejects(two.share("nbd://203.0.113.1:1/x"), (error: { code: string }) => {
    notStrictEqual(error.code, "internal");
    return true;
  });
  const client = await NbdRawClient.open(share.uri);
  await client.write(0, Buffer.from(noise(4096)));
  deepStrictEqual(await one.readAt(4096, 0), noise(4096));
  await one.writeAt(noise(4096, "more"), 4096);
  deepStrictEqual(new Uint8Array(await client.read(4096, 4096)), noise(4096, "more"));
  await client.disconnect();
  await share.close();
  await share.close();
  await rejects(NbdRawClient.open(share.uri));
  // The other share is still there; closing its device ends it.
  const second = await NbdRawClient.open(other.uri);
  await two.close();
  await second.raw.closed;
  await one.close();
});

forEachLevel("a labelled stage is tapped by another device of the process", async (t, level) => {
  const text = fileText(t).replace("?", "#raw?");
  await using device = await open(text, { level });
  await using tap = await open("tap:///raw", { level });
  await device.writeAt(noise(4096), 0);
  deepStrictEqual(await tap.readAt(4096, 0), noise(4096));
  await rejects(tap.writeAt(noise(4096), 0), { code: "unsupported" });
  await rejects(device.close(), { code: "stage-tapped" });
  deepStrictEqual(await device.readAt(4096, 0), noise(4096));
  await tap.close();
  await device.close();
});

forEachLevel("events reach the caller, and what it throws is its own affair", async (_t, level) => {
  const { stdout } = await runProgram(
    level,
    `const seen = [];
     process.on("uncaughtException", (error) => seen.push(error.message));
     const onEvent = (event) => {
       seen.push(event.level + " " + event.code + " " + event.stage);
       throw new Error("mine");
     };
     const text = "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB)";
     const device = await open(text, { level, onEvent });
     await device.writeAt(new Uint8Array(512).fill(5), 0);
     const read = await device.readAt(512, 0);
     await device.close();
     console.log(JSON.stringify({ seen, first: read[0] }));`,
  );
  const { seen, first } = JSON.parse(stdout) as { seen: string[]; first: number };
  match(seen[0] ?? "", /^warning mirror-without-metadata mirror\(malloc:/);
  deepStrictEqual(seen.slice(1), ["mine"]);
  strictEqual(first, 5);
});

forEachLevel("10,000 reads are answered in a process that does nothing else", async (_t, level) => {
  const { stdout } = await runProgram(
    level,
    `const device = await open("malloc:///m?size=8MiB", { level });
     const reads = Array.from({ length: 10_000 }, (_, at) => device.readAt(512, (at % 64) * 512));
     const all = await Promise.all(reads);
     for (let at = 0; at < 100; at++) await device.readAt(512, 0);
     console.log(all.length);
     await device.close();`,
  );
  strictEqual(stdout, "10000\n");
});

forEachLevel(
  "a process ends by itself once its devices are closed, not before",
  async (t, level) => {
    const { stdout } = await runProgram(
      level,
      `for (let round = 0; round < 3; round++) {
       const device = await open(${JSON.stringify(fileText(t))}, { level });
       await device.writeAt(new Uint8Array(4096), 0);
       const share = await device.share("nbd://127.0.0.1:0/x");
       // An open device keeps the process: this timer would not.
       await new Promise((resolve) => setTimeout(resolve, 20).unref());
       await device.blockStatus(0, device.size);
       await device.close();
     }
     console.log("closed");`,
    );
    strictEqual(stdout, "closed\n");
  },
);

forEachLevel(
  "a process may end or fail with devices open and calls under way",
  async (t, level) => {
    const text = JSON.stringify(fileText(t));
    const start = `const device = await open(${text}, { level });
    for (let at = 0; at < 100; at++) void device.readAt(65536, 0).catch(() => undefined);`;
    await runProgram(level, `${start} process.exit(3);`, 3);
    await runProgram(level, `${start} setImmediate(() => process.exit(4));`, 4);
    await runProgram(level, `${start} setTimeout(() => { throw new Error("x"); }, 1);`, 1);
  },
);

forEachLevel("opening and closing again and again leaves nothing behind", async (t, level) => {
  const { stdout } = await runProgram(
    level,
    `import { readdirSync, readFileSync } from "node:fs";
     import { setFlagsFromString } from "node:v8";
     import { runInNewContext } from "node:vm";
     setFlagsFromString("--expose-gc");
     const collectGarbage = runInNewContext("gc");
     const cycle = async () => {
       const device = await open(${JSON.stringify(fileText(t))}, { level });
       const buffer = device.allocate(65536);
       await device.writeAt(buffer, 0);
       const share = await device.share("nbd://127.0.0.1:0/x");
       const client = await open(share.uri, { level });
       await client.readAt(4096, 0);
       await client.close();
       await device.close();
     };
     const counts = async () => {
       // What has been collected is used again.
       for (let round = 0; round < 60; round++) {
         await cycle();
         if (round % 10 !== 0) continue;
         collectGarbage();
         await new Promise((resolve) => setTimeout(resolve, 1));
       }
       const maps = readFileSync("/proc/self/maps", "utf8").split("\\n").length;
       // Sockets are closed behind our back: the count has to stay for a while.
       let files = 0;
       for (let same = 0; same < 5; same++) {
         await new Promise((resolve) => setTimeout(resolve, 20));
         const now = readdirSync("/proc/self/fd").length;
         if (now !== files) same = -1;
         files = now;
       }
       return { files, maps };
     };
     console.log(JSON.stringify({ before: await counts(), after: await counts() }));`,
  );
  const { before, after } = JSON.parse(stdout) as Record<string, { files: number; maps: number }>;
  strictEqual(after?.files, before?.files, "open files");
  // Each cycle left a dozen behind before it was looked for.
  const growth = (after?.maps ?? 0) - (before?.maps ?? 0);
  ok(growth < 150, `maps: ${before?.maps} to ${after?.maps}`);
});

forEachLevel("a host's timers fire while reads run without a pause", async (_t, level) => {
  await using device: PenstockDevice = await open("malloc:///m?size=8MiB", { level });
  let reading = true;
  const readers = Array.from({ length: 32 }, async () => {
    while (reading) await device.readAt(4096, 0);
  });
  let fired = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      fired++;
      if (fired === 20) {
        clearInterval(timer);
        resolve();
      }
    }, 1);
  });
  reading = false;
  await Promise.all(readers);
});

test("a worker thread gets the portable level, and says why", async () => {
  const program = `
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(INDEX)}).then(async ({ open }) => {
      const device = await open("malloc:///m?size=1MiB", { level: "auto" });
      await device.readAt(512, 0);
      const { level, levelReason } = device.info;
      await device.close();
      const uring = open("malloc:///m?size=1MiB", { level: "uring" });
      const refused = await uring.catch((error) => error);
      parentPort.postMessage({ level, levelReason, code: refused.code });
    });`;
  const worker = new Worker(program, { eval: true });
  const answer = await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  deepStrictEqual(answer, {
    level: "portable",
    levelReason: "foreign functions are used on the main thread only, and this is a worker thread",
    code: "level-unavailable",
  });
  await new Promise((resolve) => worker.once("exit", resolve));
});

test("without node:ffi the library is portable by itself and says so", async () => {
  // The permission model takes FFI away, as an older Node does.
  const program = `
    import { open } from ${JSON.stringify(INDEX)};
    const device = await open("malloc:///m?size=1MiB");
    await device.writeAt(new Uint8Array(512), 0);
    console.log(JSON.stringify(device.info));
    await device.close();`;
  const flags = ["--permission", "--allow-fs-read=*", "--input-type=module-typescript"];
  const quiet = ["--disable-warning=ExperimentalWarning"];
  const { stdout } = await runCommand(process.execPath, [...quiet, ...flags, "--eval", program]);
  const info = JSON.parse(stdout) as { level: string; levelReason: string };
  strictEqual(info.level, "portable");
  match(info.levelReason, /^node:ffi: /);
});
