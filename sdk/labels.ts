/** Labels that nodes have by themselves. Pure. */

/** It has a container engine: functions with an image can run there. Its value is `yes`. */
export const LABEL_OCI = "berth.oci";

/** It sees a path that nodes share for volumes. Its value is the path's id, the same on all nodes that see the same files. */
export const LABEL_VOLUMES = "berth.volumes";
