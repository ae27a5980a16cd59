/**
 * A database on ext4 over the kernel's NVMe/TCP host: a snapshot under its load, mounted from a
 * clone, has all that was committed when it was taken; file system and database are whole.
 */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { type NvmeHost, startNvmeHost } from "../../src/testing/guest/nvme-host.ts";
import { SHARE_NQN } from "../../src/testing/guest/nvme-share.ts";
import { forLongRun, NOT_EVERY_DAY } from "../../src/testing/long-run.ts";
import { startEngine } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = NOT_EVERY_DAY || guestSkipReason("nvme", "mkfs.ext4", "sqlite3");
const MIB = 2 ** 20;
/** Each taken under load, and looked at. */
const SNAPSHOTS = forLongRun(1, 20);
const POOL = "p";
/** The database's own is the first one. */
const COPY = "/dev/nvme1n1";

test("a database under load recovers on clones of its snapshots", {
  skip: SKIP,
  timeout: forLongRun(240_000, 900_000),
}, async (t) => {
  const ask = await startPool(t);
  const port = await freePort();
  const targetOf = (name: string) => ({ port, nqn: `${SHARE_NQN}-${name}` });
  const share = (name: string) => {
    const request = { pool: POOL, name, share: `nvmf://127.0.0.1:${port}/${targetOf(name).nqn}` };
    return ask(({ replicas }) => replicas.shareReplica(request));
  };
  const replica = { pool: POOL, name: "db", sizeBytes: BigInt(64 * MIB), thin: true };
  await ask(({ replicas }) => replicas.createReplica(replica));
  await share("db");
  const host = await startNvmeHost(t, { programs: ["mkfs.ext4", "fsck.ext4", "sqlite3"] });
  await host.connect(targetOf("db"), { queues: 2 });
  await startDatabase(host);

  for (let number = 1; number <= SNAPSHOTS; number++) {
    const committed = await commits(host, 3 * number);
    const [snapshot, name] = [`db@s${number}`, `copy${number}`];
    await ask(({ snapshots }) => snapshots.createSnapshot({ pool: POOL, snapshot }));
    // The database goes on: the snapshot must not.
    await commits(host, committed + 3);
    await ask(({ snapshots }) => snapshots.cloneSnapshot({ pool: POOL, snapshot, name }));
    await share(name);
    await host.connect(targetOf(name), { queues: 1 });
    await lookAtCopy(host, committed);
    await host.disconnect(targetOf(name));
  }
  await host.run(`touch /root/stop; until [ -e /root/ended ]; do sleep 0.1; done
umount /db; fsck.ext4 -fn /dev/nvme0n1`);
});

type Ask = <T>(call: (client: EngineClient) => Promise<T>) => Promise<T>;

async function startPool(t: TestContext): Promise<Ask> {
  const folder = makeTempDir(t);
  const engine = await startEngine(t, `${folder}/data`, { args: ["--no-supervisor"] });
  const ask: Ask = (call) => askEngine(parseEngineAddress(engine.uri), call);
  const disks = [`file://${folder}/disk?size=512MiB`];
  await ask(({ pools }) => pools.createPool({ name: POOL, disks }));
  return ask;
}

/**
 * A transaction after the other, each durable (in "full" mode the journal's removal, which commits,
 * need not be), counted when it has been committed.
 */
async function startDatabase(host: NvmeHost): Promise<void> {
  await host.run(`mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/nvme0n1
mkdir -p /db /copy
mount -t ext4 /dev/nvme0n1 /db
sqlite3 /db/data "create table t (n integer primary key, more text)"
echo 0 >/root/commits
(set +ex; n=0
while [ ! -e /root/stop ]; do
  n=$((n + 1))
  sqlite3 /db/data "pragma synchronous = extra;
    insert into t values ($n, hex(randomblob(3000)))" || exit
  echo $n >/root/next; mv /root/next /root/commits
done; echo ended >/root/ended) >/dev/null 2>&1 &`);
}

/** Waits until the database has committed so many. @returns how many it has */
async function commits(host: NvmeHost, least: number): Promise<number> {
  const until = performance.now() + 120_000;
  for (;;) {
    const count = Number(await host.run("cat /root/commits"));
    if (count >= least) return count;
    assert.ok(performance.now() < until, `the database has ${count} of ${least} commits`);
    await sleep(100);
  }
}

/** Mounts the clone, which replays the journals; the database has what was committed, and works. */
async function lookAtCopy(host: NvmeHost, committed: number): Promise<void> {
  const output = await host.run(`n=0
until [ -b ${COPY} ]; do n=$((n + 1)); [ $n -lt 1000 ]; sleep 0.05; done
mount -t ext4 ${COPY} /copy
sqlite3 /copy/data "pragma integrity_check; select count(*) from t; select max(n) from t"
sqlite3 /copy/data "delete from t where n % 2 = 0; vacuum"
umount /copy
fsck.ext4 -fn ${COPY} >/dev/null`);
  const [integrity, count, most] = output.trim().split("\n");
  assert.equal(integrity, "ok");
  assert.equal(count, most, "no transaction is missing in between");
  assert.ok(Number(count) >= committed, `${count} of ${committed} committed rows are there`);
}
