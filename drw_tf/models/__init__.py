"""Networks: backbones, heads, and how they are joined."""
