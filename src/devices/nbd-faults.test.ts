// Tests of the NBD device when things fail.

import { remoteFaultTests } from "../testing/remote-fault-tests.ts";
import { NBD_PAIR } from "../testing/remote-pairs.ts";

remoteFaultTests(NBD_PAIR);
