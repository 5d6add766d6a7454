/** Labels that nodes have by themselves. Pure. */

/** It has a container engine: functions with an image can run there. Its value is `yes`. */
export const LABEL_OCI = "berth.oci";
