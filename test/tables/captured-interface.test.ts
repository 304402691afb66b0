/** What a capture's name of an interface means on a node of which host endpoints name some. */
import { describe, expect, it } from "vitest";

import { captureInterface, type CapturedInterface } from "../../src/tables/captured-interface.ts";

describe("captureInterface", () => {
  it.each<[string, string[], string, CapturedInterface["stand"]]>([
    ["eth0", ["eth0"], "eth0", "perhaps-pod"],
    ["eth1", ["eth1"], "eth1", "told"],
    ["eth1", ["eth0"], "other", "perhaps-elsewhere"],
    ["eth0", ["ens192"], "other", "perhaps-elsewhere"],
    ["enp3s0", ["ens5"], "other", "perhaps-elsewhere"],
    ["vnet3", ["ens5"], "other", "perhaps-elsewhere"],
    ["eni0a1b2c3", ["ens5"], "other", "perhaps-elsewhere"],
    ["ens3", ["bond0"], "other", "perhaps-elsewhere"],
    ["ens3", ["bond0", "tunl0"], "other", "perhaps-elsewhere"],
    ["ens3", ["bond0", "bond1"], "other", "perhaps-below"],
    ["tunl0", ["bond0"], "other", "perhaps-elsewhere"],
    ["lo", ["bond0"], "lo", "told"],
    ["cali123", ["eth0"], "cali123", "told"],
    ["any", ["eth0"], "", "told"],
    ["-", ["eth0"], "", "told"],
    ["\\Device\\NPF_{1}", ["eth0"], "", "told"],
  ])("takes %s beside %j as %s, %s", (captured, bound, name, stand) => {
    const told = { uplinks: bound, unnamed: [], boundInterfaces: bound, otherInterface: "other" };
    expect(captureInterface(captured, told)).toEqual({ name, stand });
  });

  it("does not take it for the only one that nothing names", () => {
    const told = {
      uplinks: ["eth0", "tunl0"],
      unnamed: ["eth0"],
      boundInterfaces: ["eth0"],
      otherInterface: "other",
    };
    const other = { name: "other", stand: "perhaps-elsewhere" };
    for (const name of ["ens5", "ens6", "docker0", "eth0", "vxlan.calico"])
      expect(captureInterface(name, told)).toEqual(other);
    expect(captureInterface("tunl0", told)).toEqual({ name: "tunl0", stand: "told" });
  });

  it("takes it for any where one endpoint is for all", () => {
    const told = {
      uplinks: ["eth0"],
      unnamed: ["eth0"],
      boundInterfaces: [],
      otherInterface: "other",
    };
    expect(captureInterface("ens5", told)).toEqual({ name: "eth0", stand: "told" });
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

  it("asks each of the nodes seen as one whether it is theirs", () => {
    const told = {
      uplinks: ["eth0", "ens5@n1"],
      otherByNode: new Map([["n1", "/other@n1"]]),
      nameByNode: new Map([["n1", "ens5"]]),
    };
    const stand = "perhaps-elsewhere";
    expect(captureInterface("ens5", told)).toEqual({ name: "ens5", stand });
    expect(captureInterface("ens6", told)).toEqual({ name: "", stand });
    expect(captureInterface("tunl0", told)).toEqual({ name: "/tunnel", stand });
    expect(captureInterface("cali123", told)).toEqual({ name: "cali123", stand: "told" });
    expect(captureInterface("any", told)).toEqual({ name: "", stand: "told" });
  });

  it("leaves names to the routes where no host endpoint is", () => {
    expect(captureInterface("eth7", {})).toEqual({ name: "eth7", stand: "told" });
  });
});
