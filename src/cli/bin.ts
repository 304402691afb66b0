#!/usr/bin/env node
/**
 * The entry of the `netverdict` and `kubectl-netverdict` commands. Checks the version of Node before
 * anything is loaded that an older one could not read.
 */

const NEEDED = [22, 12] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `netverdict: error: Node ${NEEDED.join(".")} or newer is needed, this is ${process.versions.node}\n`,
  );
  process.exitCode = 2;
} else {
  const { main } = await import("./main.ts");
  const exitCode = await main(process.argv);
  // Whatever still waits (a live capture on standard input) is not wanted any more.
  process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));
}
