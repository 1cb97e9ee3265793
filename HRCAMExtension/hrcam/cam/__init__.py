"""HR-CAM itself: levels of any CNN, one linear head on their pooled maps, and the fusion of their class maps.

Needs torch. Start with `model.HRCAM`; `levels` finds the last feature map at each resolution.
"""
