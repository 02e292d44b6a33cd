"""Diagrams: a contract, the path one saga took, who states what and who hears it; as Mermaid, DOT and SVG.

`contract`, `path` and `topology` make a `Diagram`, which `mermaid`, `dot` and `svg` write down. All pure.
"""
