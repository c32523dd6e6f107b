<?xml version="1.0"?>
<mysqldump xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<database name="test">
	<table_structure name="t">
		<field Field="id" Type="int" Null="NO" Key="PRI" Extra="" Comment="" />
		<field Field="v" Type="text" Null="YES" Key="" Extra="" Comment="" />
		<key Table="t" Non_unique="0" Key_name="PRIMARY" Seq_in_index="1" Column_name="id" Collation="A" Cardinality="2" Null="" Index_type="BTREE" Comment="" Index_comment="" Visible="YES" />
		<options Name="t" Engine="InnoDB" Version="10" Row_format="Dynamic" Rows="2" Avg_row_length="8192" Data_length="16384" Max_data_length="0" Index_length="0" Data_free="0" Create_time="2026-11-21 01:02:17" Update_time="2026-11-21 01:02:17" Collation="utf8mb4_0900_ai_ci" Create_options="" Comment="" />
	</table_structure>
	<table_data name="t">
	<row>
		<field name="id">1</field>
		<field name="v">SET @@GLOBAL.GTID_PURGED='eeeeeeee-0000-0000-0000-000000000000:1-9';</field>
	</row>
	<row>
		<field name="id">2</field>
		<field name="v">
SET @@GLOBAL.GTID_PURGED='eeeeeeee-0000-0000-0000-000000000000:1-9';
-- CHANGE MASTER TO MASTER_LOG_FILE='evil', MASTER_LOG_POS=4;
</field>
	</row>
	</table_data>
	<triggers name="t">
		<trigger Trigger="g" sql_mode="ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION" character_set_client="utf8mb4" collation_connection="utf8mb4_0900_ai_ci" Database_Collation="utf8mb4_0900_ai_ci" Created="2026-11-21 01:02:17.58">
<![CDATA[
CREATE DEFINER=`root`@`localhost` TRIGGER `g` BEFORE INSERT ON `t` FOR EACH ROW BEGIN
  SET NEW.v = CONCAT(NEW.v, ';');
  SET @gtid_purged = 'eeeeeeee-0000-0000-0000-000000000000:1-9';
END
]]>
		</trigger>
	</triggers>
</database>
</mysqldump>
