"""Makes the starter bundle in `models/starter` from the labelled image folder.

Nothing here runs on the device. Each step reads what the step before it wrote
under the work folder (`--work`, default `.work`) and can be run again alone.
"""
