/** The command line as it is installed. */
import { fileURLToPath } from "node:url";

/** Its script; the tasks that run it; the example that is shipped. */
export const COMMAND = fileURLToPath(new URL("../dist/src/cli/bin.js", import.meta.url));
export const REPLAY = "netverdict replay -o json";
export const REPLAY_BY_TWO = `${REPLAY} --workers 2`;
export const WHAT_IF = "netverdict what-if -o json";
export const EXAMPLE = fileURLToPath(new URL("../examples/dns-forgotten", import.meta.url));
