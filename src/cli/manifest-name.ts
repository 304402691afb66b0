/** What a file is by its name. */

/** Files of a folder that are manifests. */
export const MANIFEST_NAME = /\.(ya?ml|json)$/i;
