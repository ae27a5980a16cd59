/**
 * A nexus inside an application: Mayastor's own example, with Penstock.
 *
 * The nexus stands over three children: a file of this machine and two exports of other machines
 * (here this program serves them itself). One write becomes three; any child may die.
 *
 *   node examples/nexus.ts FOLDER      in the tree: node --conditions=penstock-source ...
 */

import { deepStrictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { open } from "penstock";

const folder = process.argv[2] ?? ".";
const names = ["disk0", "disk1", "disk2"];
const disks = names.map((name) => `${folder}/${name}.img?size=64MiB&blocksize=4096`);

// Two storage systems that are reached over the network.
const far = await Promise.all(disks.slice(1).map((disk) => open(disk)));
const shares = await Promise.all(far.map((each, at) => each.share(`nbd://127.0.0.1:0/${at}`)));

// Create the nexus using the list of child devices.
const children = [...disks.slice(0, 1), ...shares.map(({ uri }) => uri)];
const nexus = await open(`mirror(${children.join(", ")})`, {
  onEvent: ({ level, message }) => console.log(`${level}: ${message}`),
});

// A buffer that devices use as it is: alignment is taken care of.
const buffer = nexus.allocate(4096);

// Fill it with a known value and write it out: all children receive the same I/O.
buffer.fill(0xff);
await nexus.writeAt(buffer, 0);

// Fill it with zeroes, read the data back, and verify that it is what was written.
buffer.fill(0x00);
await nexus.readAt(buffer, 0);
deepStrictEqual(
  buffer.every((byte) => byte === 0xff),
  true,
);

// Others may use the nexus too: any NBD client, the kernel's among them.
const share = await nexus.share("nbd://127.0.0.1:0/mynexus");
const client = await open(share.uri);
await client.writeAt(new Uint8Array(4096).fill(0xee), 4096, { fua: true });
deepStrictEqual(await nexus.readAt(4096, 4096), new Uint8Array(4096).fill(0xee));
await client.close();

console.log((await nexus.describe()).text);
await nexus.close();
for (const each of far) await each.close();

// Take the nexus away, and the data is on every child as if it had never been there.
for (const name of names) {
  const bytes = readFileSync(`${folder}/${name}.img`).subarray(0, 8192);
  deepStrictEqual([bytes[0], bytes[4095], bytes[4096], bytes[8191]], [0xff, 0xff, 0xee, 0xee]);
}
console.log("all three children hold the same");
