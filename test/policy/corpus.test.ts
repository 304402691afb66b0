/** Real manifests: the corpus beside the repository, where it is there. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

import { describe, expect, it } from "vitest";

import { load, type Loaded } from "../cluster/load.ts";

const CORPUS = join(import.meta.dirname, "../../../shared/corpus");
const NP_GUARD = join(CORPUS, "oracles/np-guard_netpol-analyzer/tests");
const there = existsSync(NP_GUARD);
if (!there) console.log("skipped: there is no ../shared/corpus beside the repository");

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return /\.(ya?ml|json)$/.test(path) ? [path] : [];
  const names = readdirSync(path).sort();
  return names.flatMap((name) => filesOf(join(path, name)));
}

function loadFiles(root: string, files: readonly string[]): Loaded {
  return load(
    Object.fromEntries(files.map((file) => [relative(root, file), readFileSync(file, "utf8")])),
  );
}

const errorsOf = ({ said }: Loaded): string[] => said.filter((one) => one.includes(": error: "));

describe.skipIf(!there)("the Kubernetes documentation's and recipes' policies", () => {
  const folders = ["kubernetes-network-policy-recipes-yaml", "kubernetes-website-examples"];
  const files = there ? folders.flatMap((name) => filesOf(join(CORPUS, "policies", name))) : [];

  it.each(files.map((file) => [relative(CORPUS, file), file]))("loads %s whole", (_, file) => {
    const loaded = loadFiles(CORPUS, [file]);
    expect(loaded.said).toEqual([]);
    expect(loaded.policies.length).toBeGreaterThan(0);
    expect(loaded.policies).toHaveLength(loaded.objects.length);
  });
});

describe.skipIf(!there)("the policies of network-policy-api", () => {
  const folders = ["network-policy-api", "network-policy-api-v0.1.7", "network-policy-api-docs"];
  const files = there ? folders.flatMap((name) => filesOf(join(CORPUS, "policies", name))) : [];
  const isConformance = (file: string): boolean => file.includes("/conformance/base/");

  it.each(files.filter(isConformance).map((file) => [relative(CORPUS, file), file]))(
    "loads %s whole, unless it is a template",
    (_, file) => {
      const loaded = loadFiles(CORPUS, [file]);
      if (readFileSync(file, "utf8").includes("{{")) {
        expect(errorsOf(loaded).join()).toContain("render the template first");
      } else {
        expect(errorsOf(loaded)).toEqual([]);
        expect(loaded.policies.length + loaded.snapshot.endpoints.length).toBeGreaterThan(0);
      }
    },
  );

  it.each(files.map((file) => [relative(CORPUS, file), file]))(
    "takes %s, or says at which line and column it does not",
    (_, file) => {
      for (const error of errorsOf(loadFiles(CORPUS, [file]))) {
        expect(error).toMatch(/^\S+:\d+:\d+: error: .* \[[A-Z_]+\]$/);
      }
    },
  );
});

describe.skipIf(!there)("np-guard's folders", () => {
  const folders = there ? readdirSync(NP_GUARD).sort() : [];
  const loadFolder = (name: string): Loaded => {
    const root = join(NP_GUARD, name);
    return loadFiles(root, filesOf(root));
  };

  it.each([
    [
      "bad_path_namespace_with_same_name",
      /^objects\.yaml:12:9: error: Namespace blue is already at objects\.yaml:2:1 \[DUPLICATE_OBJECT\]$/,
    ],
    [
      "document_with_syntax_error",
      /^document_with_syntax_error\.yaml:225:\d+: error: .* \[BAD_YAML\]$/,
    ],
    [
      "malformed-pod-example-4",
      /^pods\.json:3:5: error: the object has no kind \(did you mean "kind"\?\) \[MISSING_FIELD\]$/,
    ],
    [
      "malformed_pod_example",
      /^pod\.yaml:10:22: error: spec\.containers\[0\]\.ports\[0\]\.containerPort: must be a whole number, not a list \[BAD_VALUE\]$/,
    ],
    [
      "np_bad_path_test_2",
      /^netpols\.yaml:14:16: error: spec\.ingress\[1\]\.ports\[0\]\.endPort: may not be specified when `port` is non-numeric \[BAD_PORT\]$/,
    ],
    [
      "np_test_with_empty_port_range",
      /^netpol\.yaml:15:20: error: spec\.egress\[0\]\.ports\[1\]\.endPort: port range 10-1: end is below start \[BAD_PORT_RANGE\]$/,
    ],
  ])("finds the fault of %s", (name, sentence) => {
    const errors = errorsOf(loadFolder(name));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(sentence);
  });

  it("finds what is no object in bad_yamls, and reads the rest", () => {
    const loaded = loadFolder("bad_yamls");
    expect(errorsOf(loaded)).toEqual([]);
    expect(loaded.said).toContain(
      "not_a_k8s_resource.yaml:1:1: warning: not a Kubernetes object but a map with neither apiVersion nor kind: not read [FOREIGN_KIND]",
    );
    expect(loaded.said).toContain(
      "subdir/empty.yaml: warning: the file has no objects [EMPTY_FILE]",
    );
    expect(loaded.policies).toHaveLength(1);
  });

  it.each(folders.filter((name) => /^(a|ba)np_bad_path/.test(name)))(
    "refuses the cluster-wide policies of %s at file, line and column",
    (name) => {
      const errors = errorsOf(loadFolder(name));
      expect(errors.length).toBeGreaterThan(0);
      for (const error of errors) expect(error).toMatch(/^\S+:\d+:\d+: error: .* \[[A-Z_]+\]$/);
    },
  );

  it.each(folders)("says only things with a place about %s", (name) => {
    for (const sentence of loadFolder(name).said) {
      expect(sentence).toMatch(/^\S+:\d+:\d+: |\[EMPTY_FILE\]$/);
    }
  });

  it("has no error in folders without a fault, but for policies that are not judged", () => {
    // Those with several ports have a Service whose ports have no names, which an API server refuses.
    const faulty =
      /bad_|malformed|syntax_error|np_test_with_empty_port_range|^nad_test_1[234]$|^one_ingress_multiple_ports$|^multiple_ingress_objects_with_different_ports_new$/;
    const surprising = folders
      .filter((name) => !faulty.test(name))
      .flatMap((name) => errorsOf(loadFolder(name)).map((error) => `${name}: ${error}`))
      .filter((error) => !error.endsWith("[UNSUPPORTED_KIND]"));
    expect(surprising).toEqual([]);
  });
});

describe.skipIf(!there)("the documents of Calico's documentation", () => {
  const folder = join(CORPUS, "policies/calico-docs-v3.23");
  const files = there ? filesOf(folder).map((file) => relative(folder, file)) : [];
  /** What is refused, and why; all others are accepted. */
  const refused: Readonly<Record<string, RegExp>> = {
    // Placeholders that the reader is to replace.
    "reference_host_endpoints_connectivity_L39_12.yaml":
      /:13:11: .*"<your management CIDR>" is no prefix/,
    // Types and rules are one list, by a slip of indentation.
    "security_services_cluster_ips_L141_88.yaml": /:10:5: .*spec\.types\[1\]: must be a string/,
    // Layer 7.
    "security_tutorials_app_layer_policy_enforce_policy_istio_L147_90.yaml":
      /:10:8: .*HTTP requests/,
    // Documents that are no YAML.
    "security_kubernetes_nodes_L88_72.invalid.yaml": /:7:3: .*BAD_YAML/,
    "security_network_policy_L237_34.invalid.yaml": /:7:3: .*BAD_YAML/,
    "security_tutorials_app_layer_policy_enforce_policy_istio_L188_92.invalid.yaml":
      /:6:13: .*BAD_YAML/,
    // Places for names and addresses that are to be filled in.
    "reference_host_endpoints_objects_L25_14.yaml": /:4:11: .*"<name of endpoint>" is no name/,
    // An older name of a field.
    "reference_resources_overview_L71_22.yaml": /:8:5: .*did you mean "interfaceName"/,
    "security_kubernetes_node_ports_L91_70.yaml": /:11:5: .*"INSERT_IP_HERE" is no IPv4/,
  };

  it("are all accepted, or refused for a reason that is said", () => {
    const odd = files.flatMap((file) => {
      const { said: all, objects } = loadFiles(folder, [join(folder, file)]);
      const said = all.filter((one) => !/warning: .* has bits behind the prefix/.test(one));
      const errors = said.filter((one) => one.includes(": error: "));
      const wanted = refused[file];
      if (wanted === undefined) return said.length === 0 && objects.length > 0 ? [] : said;
      return errors.some((one) => wanted.test(one)) ? [] : [`${file} is accepted`];
    });
    expect(odd).toEqual([]);
    expect(files.length).toBeGreaterThan(50);
  });
});
