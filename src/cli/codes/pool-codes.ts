/**
 * Codes of pools, their disks and volumes.
 */

import type { CodeList } from "./code-help.ts";

export const POOL_CODES: CodeList = {
  "cache-size-invalid": {
    means: "A pool's page cache cannot have that size.",
    causes: "It is not from 1 MiB to 16 GiB.",
    todo: "Leave it out, or give 64MiB: more only pays for very large pools.",
  },
  "chunk-size-invalid": {
    means: "A pool cannot be made with chunks of that size.",
    causes: "It is no power of two, or not from 64 KiB to 4 MiB.",
    todo: "Leave it out: the default is right for most disks.",
  },
  "disk-in-pool": {
    means: "The disk is one of a pool already.",
    causes: "It was given twice, or belongs to another pool.",
    todo: "`penstock device list --disks` tells what is on it.",
  },
  "disk-not-empty": {
    means: "Something is on a disk that a pool was to be made of.",
    causes: "A file system, a partition table, another pool.",
    todo: "Look at it first. --force takes it all the same: what it holds is lost.",
  },
  "disk-too-small": {
    means: "The disk has no room for a pool.",
    causes: "Each needs 16 MiB, the first one 32; or it is smaller by now than it was in the pool.",
    todo: "Take a larger one. Where it has shrunk, give it its old size again.",
  },
  "label-damaged": {
    means: "No copy of a pool's label can be read whole.",
    causes: "Both ends of its disks were overwritten, or the disks return other data.",
    todo: "Keep the disks as they are; `penstock device list --disks` tells what each looks like.",
  },
  "log-damaged": {
    means: "Writes that a pool has acknowledged are missing from its log.",
    causes: "A disk that lost what it had said to be durable; rot in both copies of a frame.",
    todo: "Keep copies of the disks. `penstock pool import --force` goes on without those writes.",
  },
  "name-invalid": {
    means: "A pool or a replica cannot have that name.",
    causes: "It is empty, too long, or has other characters than names may have.",
    todo: "Take 1 to 63 of a-z, 0-9, and -, _ and . after the first.",
  },
  "not-a-disk": {
    means: "A pool cannot be made of that.",
    causes: "A mirror, a filter, a volume of a pool, or a file that others write, too.",
    todo: "Give a path, or the source of a pipe over file, nbd or nvmf.",
  },
  "not-a-pool": {
    means: "The disks do not hold one pool together.",
    causes: "A wrong device, an empty disk, disks of several pools.",
    todo: "The message says what is on each; `penstock device list --disks` shows all.",
  },
  "not-its-disk": {
    means: "The pool has no such disk.",
    causes: "A disk of another pool, or one that is written in another way than it was opened.",
    todo: "`penstock pool show` names its disks; without one, all of them are looked at.",
  },
  "option-needs-another": {
    means: "One of two options that belong together was given alone.",
    causes: "`pool inspect --volume` without --export, or the other way round.",
    todo: "Give both: which volume to copy out, and the new file to copy it to.",
  },
  "over-commit": {
    means: "The replica would make all of them larger than the pool allows.",
    causes: "The limit that the pool was made with (--over-commit).",
    todo: "Take a smaller size, or destroy what nobody needs.",
  },
  "pool-changed": {
    means: "On the disks of a pool is another pool by now.",
    causes: "Devices have changed their names; the disks were used elsewhere.",
    todo: "`penstock pool export` forgets it, `penstock pool import` takes it from its new place.",
  },
  "pool-copy-repaired": {
    means: "One of two copies of a pool's metadata was damaged, and has been written anew.",
    causes: "Rot, or a write that the disk has lost.",
    todo: "Nothing is lost. If it happens again, look at the disk.",
  },
  "pool-created": {
    means: "A pool has been made.",
    causes: "`penstock pool create`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "pool-damage-found": {
    means: "What a disk of a pool returned is not what was written there.",
    causes: "Rot, a write that the disk has lost, somebody else who wrote to it.",
    todo: "Reads of those blocks end with errors: write them anew, or restore them.",
  },
  "pool-damaged": {
    means: "The metadata of a pool contradict each other, or cannot be read in both copies.",
    causes: "Damage in more places than the pool keeps copies of; a bug.",
    todo: "Keep copies of the disks and report it.",
  },
  "pool-destroyed": {
    means: "A pool has been ended for good.",
    causes: "`penstock pool destroy`, or a call of the RPC.",
    todo: "Nothing: its disks are empty.",
  },
  "pool-disk-added": {
    means: "A pool has one more disk.",
    causes: "`penstock pool add-disk`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "pool-disk-grown": {
    means: "A disk of a pool has become larger, and the pool with it.",
    causes: "`penstock pool grow`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "pool-exists": {
    means: "The engine has a pool of that name already.",
    causes: "It was made or imported before.",
    todo: "Take another name, or export the other one first.",
  },
  "pool-exported": {
    means: "A pool has been closed and forgotten; what it holds is on its disks.",
    causes: "`penstock pool export`, or a call of the RPC.",
    todo: "`penstock pool import` takes it in again, on any machine.",
  },
  "pool-failed": {
    means: "A pool could not be opened; it is tried again.",
    causes: "A disk that is missing or in use; the message has the code of why.",
    todo: "`penstock explain` that code. `penstock pool list` shows when it is tried again.",
  },
  "pool-faulted": {
    means: "A pool takes no changes any more, until it is imported again.",
    causes: "A disk has failed to write or to sync: what is durable is not known.",
    todo: "Look at the disk; then export and import the pool, or start the engine again.",
  },
  "pool-flush-failed": {
    means: "A disk of a pool could not make durable what was written.",
    causes: "The disk fails, or has no space left where it is thin itself.",
    todo: "Look at the disk and the kernel's log. The pool is faulted.",
  },
  "pool-imported": {
    means: "A pool has been taken in from its disks.",
    causes: "`penstock pool import`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "pool-in-use": {
    means: "Another engine seems to have the pool open.",
    causes: "It runs on another machine, or was killed there before it could export the pool.",
    todo: "Export it there. When that engine is gone for good: `penstock pool import --force`.",
  },
  "pool-incomplete": {
    means: "Some disks of a pool are missing.",
    causes: "Not all were given; one is not attached.",
    todo: "Give all of them: the message says how many there are.",
  },
  "pool-log-lost": {
    means: "A pool was imported without writes that it had acknowledged, as was asked for.",
    causes: "`penstock pool import --force` of a pool with a damaged log.",
    todo: "Check what its replicas hold: file systems need a repair.",
  },
  "pool-map-rebuilt": {
    means: "The map of a disk's space was lost; a forced import has made it anew.",
    causes: "Both copies of a page of the map were damaged.",
    todo: "Nothing is lost by it. Look at the disk; a scrub tells whether there is more.",
  },
  "pool-medium-full": {
    means: "The file system or pool below a pool's disk has no space left for the pool's pages.",
    causes: "A sparse file, or a thin volume, that has promised more than there is.",
    todo: "Make space within a minute; else it is faulted, and loses nothing: import it later.",
  },
  "pool-newer": {
    means: "A newer Penstock has written the pool.",
    causes: "It uses something that this version does not know.",
    todo: "Use the newer version.",
  },
  "pool-not-empty": {
    means: "A pool that is to be destroyed has replicas.",
    causes: "They have not been destroyed.",
    todo: "Destroy them first, or all at once with --force.",
  },
  "pool-not-found": {
    means: "There is no pool of that name, or it is not open.",
    causes: "A misspelt name, an engine that still brings its pools back, `penstock pipe run`.",
    todo: "`penstock pool list` shows what there is. Volumes need an engine.",
  },
  "pool-not-ready": {
    means: "The pool is not open at this moment.",
    causes: "It is being opened or closed, or has failed.",
    todo: "`penstock pool list` says why, and when it is tried again.",
  },
  "pool-read-only": {
    means: "The pool was opened for reading only.",
    causes: "A newer version has written what this one can read but not change.",
    todo: "Use the newer version for changes.",
  },
  "pool-ready": {
    means: "A pool of the engine is open again.",
    causes: "The engine was started, or what kept it from opening is gone.",
    todo: "Nothing.",
  },
  "pool-space-critical": {
    means: "A pool is almost full: thin replicas will get no-space soon.",
    causes: "They hold more than was thought of.",
    todo: "Destroy what nobody needs, discard what file systems have freed (fstrim).",
  },
  "pool-space-ok": {
    means: "A pool has room again.",
    causes: "Something was destroyed or discarded.",
    todo: "Nothing.",
  },
  "pool-space-warning": {
    means: "A pool gets full.",
    causes: "Thin replicas hold more and more.",
    todo: "Plan for space: `penstock replica list -o json` tells how much each holds.",
  },
  "pool-tail-dropped": {
    means: "Power was lost, and with it writes that were not flushed.",
    causes: "A disk's volatile cache: what was flushed is there.",
    todo: "Nothing: file systems and databases expect it.",
  },
  "pools-apart": {
    means: "A pipe cannot stand on pools that live on different reactors.",
    causes: "A mirror over volumes of several pools in an engine with --reactors 2 or more.",
    todo: "Share one of the replicas, and let the mirror's leg connect to that.",
  },
  "properties-too-large": {
    means: "What is to be kept beside a volume's data is too long.",
    causes: "A value of more than 64 KiB, or more than 124 KiB of all.",
    todo: "Keep less there.",
  },
  "replica-created": {
    means: "A replica has been made.",
    causes: "`penstock replica create`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "replica-destroyed": {
    means: "A replica has been ended.",
    causes: "`penstock replica destroy`, or a call of the RPC.",
    todo: "Nothing: its space comes back in the background.",
  },
  "replica-not-shared": {
    means: "The replica is not shared.",
    causes: "It never was, or another pipe serves it.",
    todo: "`penstock replica show` names the pipes that use it.",
  },
  "replica-resized": {
    means: "A replica has another size.",
    causes: "`penstock replica resize`, or a call of the RPC.",
    todo: "Nothing.",
  },
  "replica-shared": {
    means: "The replica is shared already.",
    causes: "`penstock replica share` was called before.",
    todo: "Use that share, or `penstock replica unshare` first.",
  },
  "scrub-finished": {
    means: "All data and metadata of a pool have been read and checked.",
    causes: "A scrub was asked for.",
    todo: "The message says what was found.",
  },
  "scrub-running": {
    means: "The pool is being scrubbed already.",
    causes: "Another `penstock pool scrub` runs.",
    todo: "Wait for it, or stop it.",
  },
  "thresholds-invalid": {
    means: "A pool cannot warn of its space in that order.",
    causes: "The warning is to come at more percent than the critical state (95 unless given).",
    todo: "Give `--warn-at` a lower value than `--critical-at`, or both.",
  },
  "too-many-disks": {
    means: "A pool has as many disks as it can.",
    causes: "32 disks.",
    todo: "Make another pool, or replace small disks by larger ones.",
  },
  "too-many-pools": {
    means: "The engine has as many pools as it can.",
    causes: "256 pools.",
    todo: "Export some, or run another engine.",
  },
  "transfer-too-small": {
    means: "A disk takes too little at once for a pool: less than 256 KiB.",
    causes: "A disk over the network whose target has a low limit (MDTS of an NVMe target).",
    todo: "Raise the target's limit, or take another disk.",
  },
  "volume-exists": {
    means: "The pool has a replica of that name or UUID already.",
    causes: "It was made before.",
    todo: "Take another name.",
  },
  "volume-in-use": {
    means: "Something uses the replica.",
    causes: "A pipe stands on it: one device of a volume is open at a time.",
    todo: "`penstock replica show` names the pipes; delete them first.",
  },
  "volume-not-found": {
    means: "The pool has no such replica.",
    causes: "A misspelt name; it was destroyed.",
    todo: "`penstock replica list` shows what there is.",
  },
};
