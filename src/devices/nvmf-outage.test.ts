// Tests of the NVMe-oF device's outages.

import { remoteOutageTests } from "../testing/remote-outage-tests.ts";
import { NVMF_PAIR } from "../testing/remote-pairs.ts";

remoteOutageTests(NVMF_PAIR);
