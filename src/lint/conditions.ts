/**
 * What rules ask of an end's address: that something which a selector chooses has it, that it lies in a
 * prefix, that it is a node's, a domain's or of a Service's endpoint. Each is found once for all rules.
 */
import { formatExpression } from "../cluster/selector-expression.ts";
import { formatSelector, selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import { domainAddresses, endpointName, knowsDomain, knowsNodes } from "../cluster/snapshot.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { formatPrefix, hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { EndpointIndex } from "../policy/endpoint-index.ts";
import type { EndpointSelector, ServiceRef } from "../policy/model.ts";
import type { End, Ends } from "./ends.ts";
import { MAYBE, NO, YES } from "./three-valued.ts";
import type { Truth } from "./three-valued.ts";

/** What is known of an address, by whoever has it. */
interface Said {
  /** Ends for which it holds. */
  readonly yes: ReadonlySet<End>;
  /** Those for which it may. */
  readonly maybe: ReadonlySet<End>;
  /** Of addresses of nobody: where it holds. */
  readonly prefixes: readonly Prefix[];
  /** Of addresses of nobody elsewhere: NO, or MAYBE where not all are told. */
  readonly elsewhere: Truth;
}

/** One question about an address. */
export interface Condition extends Said {
  /** What it says of most ends of a family: NO, or YES where it holds for more than half of them. */
  readonly common: Readonly<Record<Family, Truth>>;
  /** Ends of which it says something else. */
  readonly exceptions: readonly End[];
}

/** Makes conditions; asking twice for the same gives the same. */
export class Conditions {
  readonly #snapshot: Snapshot;
  readonly #index: EndpointIndex;
  readonly #ends: Ends;
  readonly #made = new Map<string, Condition>();

  constructor(snapshot: Snapshot, index: EndpointIndex, ends: Ends) {
    this.#snapshot = snapshot;
    this.#index = index;
    this.#ends = ends;
  }

  /** Something that the selector chooses has the address. */
  chosen(selector: EndpointSelector): Condition {
    const text =
      selector.kind === "expression"
        ? formatExpression(selector.expression)
        : `${selector.namespace ?? ""}/${selectorText(selector.namespaceSelector)}/${selectorText(selector.podSelector)}`;
    return this.#of(`chosen ${selector.kind} ${text}`, () => {
      const hosts = this.#index.hostEndpointsChosenBy(selector);
      const prefixes = this.#index
        .networkSetsChosenBy(selector)
        .flatMap((networkSet) => networkSet.prefixes);
      const endpoints = this.#index.chosenBy(selector);
      const yes = [
        ...endpoints.flatMap((endpoint) => this.#ends.ofEndpoint(endpoint)),
        ...hosts.flatMap(({ addresses }) => this.#endsAt(addresses)),
      ];
      return { ...this.#inPrefixes(prefixes, yes), elsewhere: NO };
    });
  }

  /** The address lies in the prefix. */
  within(prefix: Prefix): Condition {
    return this.#of(`within ${formatPrefix(prefix)}`, () => ({
      ...this.#inPrefixes([prefix], []),
      elsewhere: NO,
    }));
  }

  /** A node that the selector chooses has it. */
  node(selector: LabelSelector): Condition {
    return this.#of(`node ${formatSelector(selector)}`, () => {
      const nodes = [...this.#snapshot.nodeByName.values()].filter(({ labels }) =>
        selectorMatches(selector, labels),
      );
      const addresses = nodes.flatMap((node) => node.addresses);
      return this.#atAddresses(addresses, knowsNodes(this.#snapshot));
    });
  }

  /** The domain's name stands for it. */
  domain(name: string): Condition {
    const known = knowsDomain(name, this.#snapshot);
    return this.#of(`domain ${name}`, () =>
      this.#atAddresses(domainAddresses(name, this.#snapshot), known),
    );
  }

  /** An endpoint of the Service has it. */
  serviceAddress(service: ServiceRef): Condition {
    return this.#of(`service ${endpointName(service)}`, () => {
      const members = this.#snapshot.membersByService.get(endpointName(service));
      const known = members !== undefined && members.missing === undefined;
      return this.#atAddresses(members?.addresses ?? [], known);
    });
  }

  #of(key: string, make: () => Said): Condition {
    const before = this.#made.get(key);
    if (before !== undefined) return before;
    const said = make();
    const six = [...said.yes].filter(({ family }) => family === 6).length;
    const isCommon = (count: number, family: Family): Truth =>
      2 * count > this.#ends.count[family] ? YES : NO;
    const common = { 4: isCommon(said.yes.size - six, 4), 6: isCommon(six, 6) };
    const candidates =
      common[4] === NO && common[6] === NO ? [...said.yes, ...said.maybe] : this.#ends.all;
    const exceptions = candidates.filter((end) => holdsFor(said, end) !== common[end.family]);
    const condition = { ...said, common, exceptions };
    this.#made.set(key, condition);
    return condition;
  }

  #endsAt(addresses: readonly Address[]): End[] {
    return addresses.flatMap((address) => this.#ends.at(address) ?? []);
  }

  #atAddresses(addresses: readonly Address[], known: boolean): Said {
    const yes = new Set(this.#endsAt(addresses));
    return {
      yes,
      maybe: new Set(known ? [] : this.#ends.all.filter((end) => !yes.has(end))),
      prefixes: addresses.map(hostPrefix),
      elsewhere: known ? NO : MAYBE,
    };
  }

  /** An end whose address nobody told may lie in a prefix; in that of all addresses it does. */
  #inPrefixes(prefixes: readonly Prefix[], others: readonly End[]): Omit<Said, "elsewhere"> {
    const yes = new Set(others);
    for (const prefix of prefixes) for (const end of this.#ends.within(prefix)) yes.add(end);
    const untold = prefixes.length === 0 ? [] : this.#ends.untold;
    for (const end of untold) {
      const whole = prefixes.some(
        ({ address, bits }) => address.family === end.family && bits === 0,
      );
      if (whole) yes.add(end);
    }
    const maybe = untold.filter(
      (end) => !yes.has(end) && prefixes.some(({ address }) => address.family === end.family),
    );
    return { yes, maybe: new Set(maybe), prefixes };
  }
}

function selectorText(selector: LabelSelector | undefined): string {
  return selector === undefined ? "" : JSON.stringify(selector.requirements);
}

/** What a condition says of an end. */
export function holdsFor({ yes, maybe }: Said, end: End): Truth {
  if (yes.has(end)) return YES;
  return maybe.has(end) ? MAYBE : NO;
}
