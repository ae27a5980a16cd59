// Tests of the file that keeps reservations: what comes back, and what is refused.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ReservationType } from "../proto/nvme/constants.ts";
import { NO_RESERVATION, type ReservationState } from "../proto/nvme/reservation-rules.ts";
import { NvmeReservations } from "../proto/nvme/reservations.ts";
import { NvmeStatus } from "../proto/nvme/status.ts";
import { Access } from "../proto/nvme/transport.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { ReservationFileStore } from "./reservation-file-store.ts";

const UUID = "0a0b0c0d-1111-4222-8333-444455556666";
const HOST = "00000000-0000-4000-8000-000000000001";
const STATE: ReservationState = {
  generation: 7,
  type: ReservationType.writeExclusive,
  holder: HOST,
  registrants: new Map([[HOST, 0xffff_ffff_ffff_fffen]]),
  persists: true,
};

test("ReservationFileStore loads what was saved last, or nothing where nothing was", async (t) => {
  const folder = makeTempDir(t);
  const path = join(folder, "r.json");
  const store = new ReservationFileStore(path, UUID);
  strictEqual(await store.load(), null);
  await store.save(NO_RESERVATION);
  await store.save(STATE);
  deepStrictEqual(await new ReservationFileStore(path, UUID).load(), STATE);
  strictEqual(statSync(path).mode & 0o777, 0o600);
  deepStrictEqual(readdirSync(folder), ["r.json"]);
});

test("ReservationFileStore says at once that it has no folder to save to", async (t) => {
  const store = new ReservationFileStore(join(makeTempDir(t), "missing", "r.json"), UUID);
  await rejects(store.load(), { code: "reservations-failed", message: /missing/ });
  match((await NvmeReservations.open(store)).trouble ?? "", /missing/);
});

test("ReservationFileStore refuses what is torn, changed or another namespace's", async (t) => {
  const path = join(makeTempDir(t), "r.json");
  const store = new ReservationFileStore(path, UUID);
  await store.save(STATE);
  const whole = readFileSync(path, "utf8");
  const damaged = { code: "reservations-damaged" };
  for (const length of [0, 1, 40, whole.length - 4]) {
    writeFileSync(path, whole.slice(0, length));
    await rejects(store.load(), damaged);
  }
  for (const text of [
    whole.replace('"generation": 7', '"generation": 8'),
    whole.replace(HOST, HOST.replace("1", "2")),
    "{}",
    "null",
    "[]",
    "x".repeat(70_000),
  ]) {
    writeFileSync(path, text);
    await rejects(store.load(), damaged);
  }
  writeFileSync(path, whole);
  const other = new ReservationFileStore(path, UUID.replace("0a", "0b"));
  await rejects(other.load(), { code: "reservations-damaged", message: /belongs to namespace/ });
  rmSync(path);
  mkdirSync(path);
  await rejects(store.load(), { code: "reservations-failed" });
  await rejects(store.save(STATE), { code: "reservations-failed" });
});

test("reservations persist over a restart; writes are refused where they cannot", async (t) => {
  const path = join(makeTempDir(t), "r.json");
  const store = new ReservationFileStore(path, UUID);
  await store.save(STATE);
  const kept = await NvmeReservations.open(store);
  kept.setHosts([HOST, "00000000-0000-4000-8000-000000000002"]);
  deepStrictEqual(kept.state, STATE);
  ok(kept.isReserved && !kept.refuses(0, Access.write) && kept.refuses(1, Access.write));
  await store.save({ ...STATE, persists: false });
  strictEqual((await NvmeReservations.open(store)).isReserved, false);
  writeFileSync(path, "torn");
  const unknown = await NvmeReservations.open(store);
  unknown.setHosts([HOST]);
  match(String(unknown.trouble), /r\.json: the stored reservations cannot be used/);
  ok(unknown.isReserved && unknown.refuses(0, Access.write) && !unknown.refuses(0, Access.read));
  let status = -1;
  unknown.change({
    decide: (state) => ({ status: 0, state, notices: [], aborted: [] }),
    made: () => undefined,
    done: (given) => {
      status = given;
    },
  });
  strictEqual(status, NvmeStatus.internalError);
  strictEqual(readFileSync(path, "utf8"), "torn");
});
