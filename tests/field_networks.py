"""Networks whose receptive fields are hard to follow: gates, reshaped channels, many branches, many merges.

Each is written in full depth, so that its table shows how long one takes.
"""

from __future__ import annotations

HEAD = """
archcalc: 1
name: {name}
input: {{C: 3, H: {size}, W: {size}}}
defaults: {{conv: {{p: half, bias: false}}, dwconv: {{p: half, bias: false}}}}
"""

SE = "  se(c, r): {mul: [identity, global_avgpool -> conv c/r 1x1 -> relu -> conv c 1x1 -> sigmoid]}\n"

SPECS = {
    "se_resnet50": SE
    + """
  body(w, s): conv w 1x1 -> bn -> relu -> conv w 3x3 s=s -> bn -> relu -> conv 4*w 1x1 -> bn -> se 4*w 16
  unit(w, s): [{residual: body w s, shortcut: conv 4*w 1x1 s=s -> bn if s > 1 or x.C != 4*w}, relu]
layers:
  - conv1: conv 64 7x7 s=2 -> bn -> relu -> maxpool 3x3 s=2 p=1
  - conv{i+1}:
      for: {i: 1..4, d: [3, 4, 6, 3]}
      do: {for: {j: 1..d}, do: 'unit 64*2**(i-1) (2 if i > 1 and j == 1 else 1)'}
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "sknet18": """
  kernels(c, s):
    - three: conv c 3x3 s=s -> bn -> relu
    - five: from in -> conv c 3x3 s=s d=2 p=2 -> bn -> relu
    - both: {add: [from three, from five]}
    - weights: global_avgpool -> conv c/8 1x1 -> relu -> conv 2*c 1x1 -> reshape R=2 C=c H=1 W=1
    - left: from three -> reshape R=1 C=c H=x.H W=x.W
    - right: from five -> reshape R=1 C=c H=x.H W=x.W
    - pair: {concat: [from left, from right], axis: R}
    - weighed: {mul: [from pair, from weights]}
    - reshape C=2*c H=x.H W=x.W -> conv c 1x1
  unit(c, s): [{residual: conv c 1x1 -> kernels c s -> bn, shortcut: conv c 1x1 s=s -> bn}, relu]
layers:
  - conv1: conv 64 7x7 s=2 -> bn -> relu -> maxpool 3x3 s=2 p=1
  - stage{i}:
      for: {i: 1..4}
      do: {for: {j: 1..2}, do: 'unit 64*2**(i-1) (2 if i > 1 and j == 1 else 1)'}
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "shufflenet": """
  body(c, s): conv c/4 1x1 g=4 -> bn -> relu -> channel_shuffle 4 -> dwconv 3x3 s=s -> bn -> conv c 1x1 g=4 -> bn
  unit(c): [residual: body c 1, relu]
  down(c): [concat: [body c 2, avgpool 3x3 s=2 p=1 -> conv c 1x1], relu, conv c 1x1]
layers:
  - conv1: conv 24 3x3 s=2 -> bn -> relu -> maxpool 3x3 s=2 p=1
  - stage{i}: {for: {i: 1..3, c: [256, 512, 1024], n: [3, 7, 3]}, do: [down c, (unit c)*n]}
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "efficientnet": SE
    + """
  body(c, e, k, s): conv e*x.C 1x1 -> bn -> silu -> dwconv k s=s -> bn -> silu -> se x.C 4 -> conv c 1x1 -> bn
  unit(c, e, k, s): body c e k s if s > 1 or x.C != c -> keep c e k if s == 1 and x.C == c
  keep(c, e, k): {residual: body c e k 1}
layers:
  - conv1: conv 32 3x3 s=2 -> bn -> silu
  - stage{i}:
      for: {i: 1..7, c: [16, 24, 40, 80, 112, 192, 320], e: [1, 6, 6, 6, 6, 6, 6], k: [3, 3, 5, 3, 5, 5, 3],
            s: [1, 2, 2, 2, 1, 2, 1], n: [2, 3, 3, 4, 4, 5, 2]}
      do: [body c e k s, (keep c e k)*(n-1)]
  - fc: conv 1280 1x1 -> bn -> silu -> global_avgpool -> flatten -> fc 1000
""",
    "densenet": """
  one(): {concat: [identity, bn -> relu -> conv 128 1x1 -> bn -> relu -> conv 32 3x3]}
  down(): bn -> relu -> conv x.C/2 1x1 -> avgpool 2
layers:
  - conv1: conv 64 7x7 s=2 -> bn -> relu -> maxpool 3x3 s=2 p=1
  - (one)*6 -> down -> (one)*12 -> down -> (one)*32 -> down -> (one)*32
  - fc: bn -> relu -> global_avgpool -> flatten -> fc 1000
""",
    "inception": """
  mixed(c): {concat: [conv c 1x1, conv c 1x1 -> conv c 3x3, conv c 1x1 -> conv c 1x7 -> conv c 7x1,
                      conv c 1x1 -> conv c 5x5 s=1, maxpool 3 s=1 p=1 -> conv c 1x1]}
layers:
  - conv1: conv 64 7x7 s=2 -> relu -> maxpool 3x3 s=2
  - (mixed 64)*5 -> maxpool 3 s=2 -> (mixed 96)*6 -> maxpool 3 s=2 -> (mixed 128)*4
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "cspdarknet": """
  cbs(c, k, s=1): conv c k s=s -> bn -> silu
  bottleneck(): {residual: cbs x.C 1 -> cbs x.C 3}
  csp(c, n): [concat: [cbs c/2 1 -> (bottleneck)*n, cbs c/2 1], cbs c 1]
  spp(): {concat: [identity, maxpool 5 s=1 p=2, maxpool 9 s=1 p=4, maxpool 13 s=1 p=6]}
layers:
  - stem: cbs 32 6 2
  - stage{i}: {for: {i: 1..4, c: [64, 128, 256, 512], n: [3, 6, 9, 3]}, do: cbs c 3 2 -> csp c n}
  - spp: cbs 256 1 -> spp -> cbs 512 1
""",
    "res2net": """
  pass(c): conv c 3x3 -> bn -> relu
  split(c):
    - a: conv c 1x1
    - b: from in -> conv c 1x1 -> pass c
    - bb: {add: [from b, from in -> conv c 1x1]}
    - d: pass c
    - dd: {add: [from d, from in -> conv c 1x1]}
    - e: pass c
    - all: {concat: [from a, from b, from d, from e]}
  unit(c): [{residual: conv c 1x1 -> bn -> relu -> reshape R=4 C=c/4 H=x.H W=x.W -> reshape C=c H=x.H W=x.W -> split c/4 -> conv 4*c 1x1 -> bn, shortcut: conv 4*c 1x1}, relu]
layers:
  - conv1: conv 64 7x7 s=2 -> bn -> relu -> maxpool 3x3 s=2 p=1
  - (unit 64)*3 -> maxpool 2 -> (unit 128)*4 -> maxpool 2 -> (unit 256)*6 -> maxpool 2 -> (unit 512)*3
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "resnest": """
  attend(c):
    - wide: conv 2*c 3x3 g=2 -> bn -> relu
    - parts: reshape R=2 C=c H=x.H W=x.W
    - weights: from wide -> global_avgpool -> conv c/2 1x1 -> relu -> conv 2*c 1x1 -> reshape R=2 C=c H=1 W=1
    - weighed: {mul: [from parts, from weights]}
    - reshape C=2*c H=x.H W=x.W -> conv c 1x1
  unit(c): [{residual: conv c 1x1 -> bn -> relu -> attend c -> conv 4*c 1x1 -> bn, shortcut: conv 4*c 1x1}, relu]
layers:
  - conv1: conv 64 3x3 s=2 -> relu -> conv 64 3x3 -> relu -> maxpool 3x3 s=2 p=1
  - (unit 64)*3 -> avgpool 3 s=2 p=1 -> (unit 128)*4 -> avgpool 3 s=2 p=1 -> (unit 256)*6
  - fc: global_avgpool -> flatten -> fc 1000
""",
    "fpn": """
  unit(c, s): [{residual: conv c 3x3 s=s -> bn -> relu -> conv c 3x3 -> bn, shortcut: conv c 1x1 s=s}, relu]
layers:
  - c1: conv 64 7x7 s=2 -> relu -> maxpool 3x3 s=2 p=1
  - c2: (unit 64 1)*3
  - c3: unit 128 2 -> (unit 128 1)*3
  - c4: unit 256 2 -> (unit 256 1)*5
  - c5: unit 512 2 -> (unit 512 1)*2
  - p5: conv 256 1x1
  - p4: {add: [from p5 -> upsample 2, from c4 -> conv 256 1x1]}
  - p3: {add: [from p4 -> upsample 2, from c3 -> conv 256 1x1]}
  - p2: {add: [from p3 -> upsample 2, from c2 -> conv 256 1x1]}
  - o2: conv 256 3x3
  - rpn: conv 256 3x3 -> relu
  - score: from rpn -> conv 6 1x1
  - box: from rpn -> conv 12 1x1
  - rois: {op: proposals, num_proposals: 100, box: '@box', from: score}
  - head: from o2 -> roipool 7x7 rois=@rois -> flatten -> fc 1024 -> relu -> fc 1024 -> relu -> fc 81
""",
    "unetpp": """
  two(c): (conv c 3x3 -> bn -> relu)*2
layers:
  - x00: two 32
  - x10: maxpool 2 -> two 64
  - x20: maxpool 2 -> two 128
  - x30: maxpool 2 -> two 256
  - x01: [concat: [from x00, from x10 -> upsample 2], two 32]
  - x11: [concat: [from x10, from x20 -> upsample 2], two 64]
  - x21: [concat: [from x20, from x30 -> tconv 128 2 s=2], two 128]
  - x02: [concat: [from x00, from x01, from x11 -> upsample 2], two 32]
  - x12: [concat: [from x10, from x11, from x21 -> upsample 2 bilinear], two 64]
  - x03: [concat: [from x00, from x01, from x02, from x12 -> upsample 2], two 32]
  - out: conv 1 1x1
""",
    "hrnet": """
  unit(): [residual: conv x.C 3x3 -> bn -> relu -> conv x.C 3x3 -> bn, relu]
layers:
  - stem: conv 32 3x3 s=2 -> relu -> conv 32 3x3 s=2 -> relu
  - a1: (unit)*4
  - b1: from stem -> conv 64 3x3 s=2 -> (unit)*4
  - a2: [add: [from a1, from b1 -> conv 32 1x1 -> upsample 2], (unit)*4]
  - b2: [add: [from b1, from a1 -> conv 64 3x3 s=2], (unit)*4]
  - c2: from b1 -> conv 128 3x3 s=2 -> (unit)*4
  - a3: [add: [from a2, from b2 -> conv 32 1x1 -> upsample 2, from c2 -> conv 32 1x1 -> upsample 4], (unit)*4]
  - b3: [add: [from b2, from a2 -> conv 64 3x3 s=2, from c2 -> conv 64 1x1 -> upsample 2], (unit)*4]
  - out: {concat: [from a3, from b3 -> upsample 2]}
""",
    "vit_dense": """
  block(): [residual: ln -> attention 4, residual: ln -> fc 256 -> gelu -> fc 64]
layers:
  - patches: conv 64 16 s=16 p=0
  - body: tokens -> pos_embed -> (block)*12 -> ln -> grid like=@patches
  - up: (tconv 32 2 s=2 -> relu -> conv 32 3x3)*4
  - out: conv 10 1x1
""",
    "local_tokens": """
  mlp(): {residual: ln -> fc 256 -> gelu -> fc 64}
  unit(): [stem: conv 64 3x3, {residual: tokens -> (mlp)*2 -> grid like=@stem}]
layers: [conv 64 4 s=4 p=0, (unit)*8, maxpool 2, (unit)*8]
""",
}
"""Blocks and layers by name; `text` puts the head before them."""


def text(name: str, size: int = 224) -> str:
    """One network's spec."""
    return HEAD.format(name=name, size=size).lstrip() + "blocks:\n" + SPECS[name].lstrip("\n")
