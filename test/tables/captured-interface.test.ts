/** What a capture's name of an interface means on a node of which host endpoints name some. */
import { describe, expect, it } from "vitest";

import { captureInterface } from "../../src/tables/captured-interface.ts";

describe("captureInterface", () => {
  it.each<[string, string[], string, "told" | "other" | "perhaps-below" | "perhaps-pod"]>([
    ["eth0", ["eth0"], "eth0", "perhaps-pod"],
    ["eth1", ["eth1"], "eth1", "told"],
    ["eth1", ["eth0"], "other", "other"],
    ["eth0", ["ens192"], "other", "perhaps-pod"],
    ["docker0", ["eth0"], "other", "other"],
    ["enP30832s1", ["eth0"], "other", "perhaps-below"],
    ["ens4", ["ens3"], "other", "other"],
    ["ens3", ["bond0"], "other", "perhaps-below"],
    ["eth0", ["eth0.100"], "other", "perhaps-below"],
    ["ens3", ["ens3.100"], "other", "perhaps-below"],
    ["tunl0", ["bond0"], "other", "other"],
    ["lo", ["bond0"], "lo", "told"],
    ["cali123", ["eth0"], "cali123", "told"],
    ["any", ["eth0"], "", "told"],
    ["-", ["eth0"], "", "told"],
    ["\\Device\\NPF_{1}", ["eth0"], "", "told"],
  ])("takes %s beside %j as %s, %s", (captured, bound, name, stand) => {
    const told = { uplinks: bound, unnamed: [], boundInterfaces: bound, otherInterface: "other" };
    expect(captureInterface(captured, told)).toEqual({ name, stand });
  });

  it("takes any for the only one, where nothing names that", () => {
    const told = {
      uplinks: ["eth0", "tunl0"],
      unnamed: ["eth0"],
      boundInterfaces: ["tunl0"],
      otherInterface: "other",
    };
    expect(captureInterface("ens5", told)).toEqual({ name: "eth0", stand: "told" });
    expect(captureInterface("tunl0", told)).toEqual({ name: "tunl0", stand: "told" });
    expect(captureInterface("vxlan.calico", told)).toEqual({ name: "other", stand: "other" });
  });

  it("does not know whether it is one that nothing names, where there are several", () => {
    const told = {
      uplinks: ["eth0", "unnamed2"],
      unnamed: ["unnamed2"],
      boundInterfaces: ["eth0", "unnamed2"],
      otherInterface: "other",
    };
    expect(captureInterface("eth5", told)).toEqual({ name: "other", stand: "perhaps-below" });
  });

  it("leaves names to the routes where no host endpoint is", () => {
    expect(captureInterface("eth7", {})).toEqual({ name: "eth7", stand: "told" });
  });
});
