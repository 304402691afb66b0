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
    let path = this.#labels;
    for (const { key, operator, values } of selector.requirements) {
      path = path.at(key).at(operator).at(values.length);
      for (const value of values) path = path.at(value);
    }
    return path.entry(() => selector);
  }

  /** The same of selectors that are made of pooled ones. */
  pods(selector: LabelledPods): LabelledPods {
    const { namespace, namespaceSelector, podSelector } = selector;
    return this.#pods
      .at(namespace)
      .at(namespaceSelector)
      .at(podSelector)
      .entry(() => selector);
  }
}
