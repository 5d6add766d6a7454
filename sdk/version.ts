/** The version of this SDK, as deployments record it. */
export const VERSION = "0.1.0";
