/** Selectors of policies, each made once: those of a large cluster name the same pods again and again. */
import { PathMap } from "../cluster/path-map.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { LabelledPods } from "./model.ts";

/** Gives selectors that say the same one object. */
export class SelectorPool {
  readonly #labels = new PathMap<string | number, LabelSelector>();
  readonly #pods = new PathMap<string | LabelSelector | undefined, LabelledPods>();

  /** The first of the label selectors that say the same, word by word. */
  labels(selector: LabelSelector): LabelSelector {
    const path = selector.requirements.flatMap(({ key, operator, values }) => [
      ...[key, operator, values.length],
      ...values,
    ]);
    return this.#labels.entry(path, () => selector);
  }

  /** The same of selectors that are made of pooled ones. */
  pods(selector: LabelledPods): LabelledPods {
    const { namespace, namespaceSelector, podSelector } = selector;
    return this.#pods.entry([namespace, namespaceSelector, podSelector], () => selector);
  }
}
