"""The task as Gymnasium environments, which need the extra ``gymnasium``; ``inhand.gymnasium`` registers their id."""
