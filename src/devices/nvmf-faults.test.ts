// Tests of the NVMe-oF device when things fail.

import { remoteFaultTests } from "../testing/remote-fault-tests.ts";
import { NVMF_PAIR } from "../testing/remote-pairs.ts";

remoteFaultTests(NVMF_PAIR);
