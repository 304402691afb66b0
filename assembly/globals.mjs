/**
 * Has the compiler export every global that can change, under a number: together with the memory they are all
 * that a matcher knows (src/engine/copy.ts). None can be forgotten, as none is named.
 */
export default class {
  // What the compiler calls; it has given the class its `binaryen`.
  afterCompile(module) {
    for (let index = 0; index < module.getNumGlobals(); index++) {
      const { name, mutable } = this.binaryen.getGlobalInfo(module.getGlobalByIndex(index));
      if (mutable) module.addGlobalExport(name, `global ${index}`);
    }
  }
}
