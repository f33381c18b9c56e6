"""Read annotations of images as people have them: COCO, Pascal VOC, YOLO, LabelMe, mask images and tables.

annotated      what a file says of an image, before it is checked
coco, voc, yolo, labelme, boxes_table    files of objects -> annotated images
objects        annotated images -> samples with boxes or instances: upright, clipped, checked
masks          photos with a mask image; labels_table: a row of attributes for each image
detect         which of these a folder has
scan           a folder or a table -> its manifest
"""
